"""A policy's text on its way into the map: checked once, kept as blobs, with the form that routers read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from trunkline_map.blob import digest_of
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.how import How
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.scans import pages

PolicyReader = Callable[[str, AbstractSet[str]], bytes]
"""Returns the form of a policy's text. Raises FieldInvalid for a text that is no policy, CollectionUnknown if it names
a collection that is not given."""


class TextPointer(NamedTuple):
    """Where a text and its form lie."""

    digest: str
    form_digest: str
    size_bytes: int
    """Of the text."""


class CheckedText(NamedTuple):
    """A text that is a policy."""

    pointer: TextPointer
    contents: tuple[bytes, bytes]
    """Text and form."""


class WantedText:
    """One text that a request wants to write. It is checked once, however often the decision upon it is made anew."""

    def __init__(self, maps: MapStore, blobs: PolicyBlobs, read: PolicyReader, tenant_id: str, yaml: str) -> None:
        """`read` runs in a thread and must be pure."""
        self._maps = maps
        self._blobs = blobs
        self._read = read
        self._tenant_id = tenant_id
        self._yaml = yaml
        self._checked: CheckedText | None = None

    async def pointer(self, deadline: Deadline) -> TextPointer:
        """Return where the text will lie. Raises what `PolicyReader` raises, and MapUnwritable."""
        return (await self._check(deadline)).pointer

    async def keep(self, jurisdictions: frozenset[str], how: How, deadline: Deadline) -> None:
        """Keep text and form in every jurisdiction, before the map points to them; a dry run keeps nothing.

        Raises as `pointer`, and BackendUnavailable.
        """
        if not how.dry_run:
            await self._blobs.keep((await self._check(deadline)).contents, jurisdictions)

    async def _check(self, deadline: Deadline) -> CheckedText:
        if self._checked is None:
            names = await self._collection_names(deadline)
            # Seconds for the largest text: too long for the event loop.
            form = await asyncio.to_thread(self._read, self._yaml, names)
            content = self._yaml.encode()
            pointer = TextPointer(digest_of(content), digest_of(form), len(content))
            self._checked = CheckedText(pointer, (content, form))
        return self._checked

    async def _collection_names(self, deadline: Deadline) -> set[str]:
        """A collection deleted after this is as one deleted after the write: policies may name what is gone."""
        names: set[str] = set()
        async for page in pages(self._maps.kv, folder(Kind.COLLECTION, self._tenant_id), deadline, keys_only=True):
            names |= {key.collection_id for item in page.items if (key := MapKey.parse(item.key)) is not None}
        return names


class PolicyTexts:
    """Makes `WantedText`s."""

    def __init__(self, maps: MapStore, blobs: PolicyBlobs, read: PolicyReader) -> None:
        """Check with `read` against the collections in `maps`; keep in `blobs`."""
        self._maps = maps
        self._blobs = blobs
        self._read = read

    def wanted(self, tenant_id: str, yaml: str) -> WantedText:
        """Return a tenant's text, not checked yet."""
        return WantedText(self._maps, self._blobs, self._read, tenant_id, yaml)
