"""Adapter: policies and heads in the blobs of a tenant's jurisdictions, the last ones kept in memory."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from trunkline_map.blob import BlobMissingError, BlobPort
from trunkline_mesh.errors import BackendUnavailable, DomainError
from trunkline_mesh.logs import get_logger
from trunkline_policy.document import from_form, parse_policy
from trunkline_policy.head import HeadSet
from trunkline_policy.model import RoutingPolicy

MAX_POLICIES: Final = 16
"""At most 2 MiB of text each, of which values take some 20 MiB."""
MAX_HEADS: Final = 8
"""At most 8 MiB each, in most policies a few hundred KiB."""

log = get_logger("learner")

_ValueT = TypeVar("_ValueT")


class Recent(Generic[_ValueT]):
    """The values that were used last, by digest."""

    def __init__(self, size: int) -> None:
        """Keep at most `size`."""
        self._size = size
        self._values: OrderedDict[str, _ValueT] = OrderedDict()

    def get(self, digest: str) -> _ValueT | None:
        """Return the value, which counts as used."""
        if digest in self._values:
            self._values.move_to_end(digest)
        return self._values.get(digest)

    def put(self, digest: str, value: _ValueT) -> None:
        """Keep the value, and drop the one that was not used for longest."""
        self._values[digest] = value
        self._values.move_to_end(digest)
        while len(self._values) > self._size:
            self._values.popitem(last=False)


class PolicyLibrary:
    """Implements `ports.Policies`."""

    def __init__(self, blobs: BlobPort) -> None:
        """Read `blobs`."""
        self._blobs = blobs
        self._recent: Recent[RoutingPolicy] = Recent(MAX_POLICIES)

    async def read(self, jurisdictions: frozenset[str], form_digest: str, digest: str) -> RoutingPolicy:
        """As `ports.Policies.read`."""
        known = self._recent.get(digest)
        if known is not None:
            return known
        content = await _read(self._blobs, jurisdictions, form_digest or digest)
        parse: Callable[[bytes], RoutingPolicy] = from_form if form_digest else _from_text
        try:
            policy = await asyncio.to_thread(parse, content)
        except (ValueError, DomainError) as exc:
            raise BackendUnavailable("the tenant's policy cannot be read") from exc
        self._recent.put(digest, policy)
        return policy


class HeadLibrary:
    """Implements `ports.HeadBlobs`."""

    def __init__(self, blobs: BlobPort) -> None:
        """Keep heads in `blobs`."""
        self._blobs = blobs
        self._recent: Recent[HeadSet] = Recent(MAX_HEADS)

    async def get(self, jurisdictions: frozenset[str], digest: str) -> HeadSet | None:
        """As `ports.HeadBlobs.get`."""
        known = self._recent.get(digest)
        if known is None:
            try:
                content = await _read(self._blobs, jurisdictions, digest)
                known = await asyncio.to_thread(HeadSet.from_bytes, content)
            except (BackendUnavailable, ValueError) as exc:
                log.warning("head cannot be read", error_type=type(exc).__name__)
                return None
            self._recent.put(digest, known)
        return known

    async def put(self, jurisdictions: frozenset[str], head: HeadSet) -> tuple[str, int]:
        """As `ports.HeadBlobs.put`."""
        content = await asyncio.to_thread(head.to_bytes)
        digests = [await self._blobs.put(jurisdiction, content) for jurisdiction in sorted(jurisdictions)]
        self._recent.put(digests[0], head)
        return digests[0], len(content)


async def _read(blobs: BlobPort, jurisdictions: frozenset[str], digest: str) -> bytes:
    """Read a blob from whichever of the jurisdictions has it. Raises BackendUnavailable."""
    cause: Exception | None = None
    for jurisdiction in sorted(jurisdictions):
        try:
            return await blobs.get(jurisdiction, digest)
        except (BlobMissingError, BackendUnavailable, ValueError) as exc:
            cause = exc
    raise BackendUnavailable("the blob cannot be read") from cause


def _from_text(content: bytes) -> RoutingPolicy:
    return parse_policy(content.decode())
