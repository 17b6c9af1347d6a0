"""A policy's texts, forms and heads as blobs in the tenant's jurisdictions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from trunkline_map.blob import BlobMissingError, BlobPort
from trunkline_map.entries import PolicyPointer
from trunkline_mesh.errors import BackendUnavailable, Internal

MAX_AT_ONCE: Final = 4
"""Blobs written or looked for at a time by one request: each is held in memory."""

_T = TypeVar("_T")


class PolicyBlobs:
    """Blobs by digest; nothing of them is kept here. Every method raises BackendUnavailable."""

    def __init__(self, blobs: BlobPort) -> None:
        """Work on `blobs`."""
        self._blobs = blobs

    async def keep(self, contents: Iterable[bytes], jurisdictions: Iterable[str]) -> None:
        """Keep each content in every jurisdiction."""
        wanted = [(jurisdiction, content) for content in contents for jurisdiction in sorted(jurisdictions)]
        for start in range(0, len(wanted), MAX_AT_ONCE):
            await _together(self._blobs.put(*each) for each in wanted[start : start + MAX_AT_ONCE])

    async def text(self, digest: str, jurisdictions: Iterable[str]) -> str | None:
        """Return a text from whichever of the jurisdictions has it; None if all answer that they have not.

        Raises Internal for a blob that is no text.
        """
        content = await self._content(digest, jurisdictions)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as exc:
            raise Internal("a stored policy is no text") from exc

    async def everywhere(self, digest: str, jurisdictions: Iterable[str]) -> bool:
        """Return True if the blob lies in every jurisdiction."""
        return all(await _together(self._blobs.exists(jurisdiction, digest) for jurisdiction in jurisdictions))

    async def follow(self, pointer: PolicyPointer, jurisdictions: frozenset[str]) -> None:
        """Copy all that a policy points to, into those of `jurisdictions` in which it does not lie yet."""
        missing = sorted(jurisdictions - pointer.jurisdictions)
        for digest in _digests(pointer):
            content = await self._content(digest, pointer.jurisdictions)
            if content is None:
                raise BackendUnavailable("a blob of the policy is missing, so it cannot be copied")
            await self.keep([content], missing)

    async def _content(self, digest: str, jurisdictions: Iterable[str]) -> bytes | None:
        cause: BackendUnavailable | None = None
        for jurisdiction in sorted(jurisdictions):
            try:
                return await self._blobs.get(jurisdiction, digest)
            except BlobMissingError:
                continue
            except BackendUnavailable as exc:
                cause = exc
        if cause is not None:
            raise BackendUnavailable("the policy's text cannot be read") from cause
        return None


def _digests(pointer: PolicyPointer) -> list[str]:
    """Return the names of all blobs of a policy and its rollout, each once."""
    rollout = pointer.rollout
    heads = [*pointer.heads, *(rollout.heads if rollout is not None else ())]
    named = [pointer.digest, pointer.form_digest, *(head.digest for head in heads)]
    if rollout is not None:
        named += [rollout.digest, rollout.form_digest]
    return list(dict.fromkeys(digest for digest in named if digest))


async def _together(work: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(each) for each in work]
    return [each.result() for each in running]
