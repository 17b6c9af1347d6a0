"""Use cases of embedding spaces."""

from __future__ import annotations

from dataclasses import replace

from trunkline_map.entries import CollectionEntry, SpaceEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_map.store import Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import SpaceUnknown
from trunkline_routing.control.errors import in_use
from trunkline_routing.control.how import How
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_state import MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.scans import scan_collections


class Spaces:
    """Embedding spaces of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Work on `maps`."""
        self._maps = maps

    async def get(self, space_id: str, deadline: Deadline) -> tuple[SpaceEntry, bytes]:
        """Return the space and the token of the state that was read; raise SpaceUnknown."""
        key = MapKey(Kind.SPACE, space_id)
        state = await self._maps.read([key], deadline)
        entry = entry_of(state, key, SpaceEntry)
        if entry is None:
            raise SpaceUnknown(metadata={"space": space_id})
        return entry, state.token

    async def list(self, page: PageRequest, deadline: Deadline) -> EntryPage[SpaceEntry]:
        """Return one page of spaces."""
        return await list_entries(self._maps, (Kind.SPACE, SpaceEntry), page, deadline)

    async def put(self, entry: SpaceEntry, how: How, deadline: Deadline) -> tuple[SpaceEntry, bytes]:
        """Make `prepare_put`; return the space with the change's token."""
        change = await self._maps.change([self.prepare_put(entry, deadline)], how, deadline)
        return change.entry(entry.key, SpaceEntry) or entry, change.token

    async def delete(self, space_id: str, revision: int, how: How, deadline: Deadline) -> bytes:
        """Make `prepare_delete`; return the change's token."""
        return (await self._maps.change([self.prepare_delete(space_id, revision, deadline)], how, deadline)).token

    def prepare_put(self, entry: SpaceEntry, deadline: Deadline) -> Prepared:
        """Create or replace a space whose current revision is the entry's.

        Raises RevisionConflict, and EntryInUse for a change of a space that a collection uses: its vectors are made.
        """

        async def decide(state: MapState) -> Plan:
            state.require_revision(entry.key, entry.revision)
            before = state.entry(entry.key, SpaceEntry) if entry.revision else None
            differs = before is not None and replace(before, revision=entry.revision) != entry
            unchanged = [await self._require_unused(state, entry.space_id, deadline)] if differs else []
            return Plan(puts=[entry], unchanged=unchanged)

        return Prepared(entry.key, [entry.key], decide)

    def prepare_delete(self, space_id: str, revision: int, deadline: Deadline) -> Prepared:
        """Remove a space; 0 as revision removes whatever is there.

        Raises SpaceUnknown, RevisionConflict, and EntryInUse where a collection uses it.
        """
        key = MapKey(Kind.SPACE, space_id)

        async def decide(state: MapState) -> Plan:
            if not state.revision_of(key):
                raise SpaceUnknown(metadata={"space": space_id})
            if revision:
                state.require_revision(key, revision)
            return Plan(deletes=[key], unchanged=[await self._require_unused(state, space_id, deadline)])

        return Prepared(key, [key], decide)

    async def _require_unused(self, state: MapState, space_id: str, deadline: Deadline) -> Unchanged:
        def uses(collection: CollectionEntry) -> bool:
            return collection.space_id == space_id

        scan = await scan_collections(self._maps, state, uses, deadline)
        if scan.users:
            raise in_use(scan.users)
        return scan.unchanged
