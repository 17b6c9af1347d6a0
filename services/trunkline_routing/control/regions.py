"""Use cases of regions."""

from __future__ import annotations

from trunkline_map.entries import CollectionEntry, RegionEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_map.store import Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RegionUnknown
from trunkline_routing.control.errors import in_use
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_store import MapState, MapStore, Plan, entry_of, written
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.scans import scan_collections


class Regions:
    """Regions of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Work on `maps`."""
        self._maps = maps

    async def get(self, region_id: str, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Return the region and the token of the state that was read; raise RegionUnknown."""
        key = MapKey(Kind.REGION, region_id)
        state = await self._maps.read([key], deadline)
        entry = entry_of(state, key, RegionEntry)
        if entry is None:
            raise RegionUnknown(metadata={"region": region_id})
        return entry, state.token

    async def list(self, page: PageRequest, deadline: Deadline) -> EntryPage[RegionEntry]:
        """Return one page of regions."""
        return await list_entries(self._maps, (Kind.REGION, RegionEntry), page, deadline)

    async def put(self, entry: RegionEntry, deadline: Deadline) -> tuple[RegionEntry, bytes]:
        """Create or replace a region whose current revision is the entry's; return it with the change's token.

        Raises RevisionConflict, and EntryInUse where its jurisdiction would change under collections placed there.
        """

        async def decide(state: MapState) -> Plan:
            state.require_revision(entry.key, entry.revision)
            before = state.entry(entry.key, RegionEntry) if entry.revision else None
            moved = before is not None and before.jurisdiction != entry.jurisdiction
            unchanged = [await self._require_unused(entry.region_id, deadline)] if moved else []
            return Plan(puts=[entry], unchanged=unchanged)

        change = await self._maps.change([entry.key], decide, deadline)
        return written(entry, change), change.token

    async def delete(self, region_id: str, revision: int, deadline: Deadline) -> bytes:
        """Remove a region; 0 as revision removes whatever is there. Return the change's token.

        Raises RegionUnknown, RevisionConflict, and EntryInUse where a collection is placed there.
        """
        key = MapKey(Kind.REGION, region_id)

        async def decide(state: MapState) -> Plan:
            if not state.revision_of(key):
                raise RegionUnknown(metadata={"region": region_id})
            if revision:
                state.require_revision(key, revision)
            return Plan(deletes=[key], unchanged=[await self._require_unused(region_id, deadline)])

        return (await self._maps.change([key], decide, deadline)).token

    async def _require_unused(self, region_id: str, deadline: Deadline) -> Unchanged:
        def uses(collection: CollectionEntry) -> bool:
            return region_id in collection.placement

        scan = await scan_collections(self._maps.kv, uses, deadline)
        if scan.users:
            raise in_use(scan.users)
        return scan.unchanged
