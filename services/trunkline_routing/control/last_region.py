"""No act may leave a collection without a region that is allowed and serves.

Exact under races: the act's transaction holds only if no region and no collection was put since they were looked at,
so of two operators who drain a collection's two regions at once, one decides anew and is refused. Removals need no
condition: a region is removed only where nothing is placed, and a removed collection needs no region.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trunkline_map.entries import CollectionEntry, RegionEntry, RegionState
from trunkline_map.feed import read_entry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_map.store import Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import LastAllowedRegion
from trunkline_routing.control.map_state import MapState
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.scans import pages, scan_collections


async def require_others_serve(
    maps: MapStore, state: MapState, region_id: str, deadline: Deadline
) -> Sequence[Unchanged]:
    """Return the conditions under which no collection needs `region_id` to serve; raise LastAllowedRegion if one does.

    Raises MapUnwritable and RevisionConflict, too.
    """
    jurisdictions, regions_unchanged = await _serving(maps, state, deadline)
    jurisdictions.pop(region_id, None)

    known: dict[tuple[tuple[str, ...], frozenset[str]], bool] = {}

    def stranded(collection: CollectionEntry) -> bool:
        # Of many collections few differ in this, so most are a look-up.
        asked = collection.placement, collection.jurisdictions
        if asked not in known:
            known[asked] = region_id in collection.placement and not _served(collection, jurisdictions)
        return known[asked]

    # A malformed collection has its last good entry on the map, which is what is served, and counts by that.
    scan = await scan_collections(maps, state, stranded, deadline, malformed_use=False)
    if scan.users:
        raise LastAllowedRegion(metadata={"usedBy": ",".join(scan.users), "count": str(scan.count)})
    return [regions_unchanged, scan.unchanged]


def require_served(collection: CollectionEntry, regions: Sequence[RegionEntry]) -> None:
    """Raise LastAllowedRegion unless one of the collection's `regions` is allowed and serves."""
    if not _served(collection, {each.region_id: each.jurisdiction for each in regions if _serves(each)}):
        named = f"{collection.tenant_id}/{collection.collection_id}"
        raise LastAllowedRegion(metadata={"usedBy": named, "count": "1"})


def _served(collection: CollectionEntry, jurisdictions: Mapping[str, str]) -> bool:
    return any(jurisdictions.get(region) in collection.jurisdictions for region in collection.placement)


def _serves(region: RegionEntry) -> bool:
    return region.state is RegionState.SERVING


async def _serving(maps: MapStore, state: MapState, deadline: Deadline) -> tuple[dict[str, str], Unchanged]:
    """Return the jurisdictions of the regions that serve, with the condition under which they are these."""
    prefix = folder(Kind.REGION)
    jurisdictions: dict[str, str] = {}
    revision = 0
    async for page in pages(maps.kv, prefix, deadline):
        revision = page.revision
        for item in page.items:
            key = MapKey.parse(item.key)
            entry = read_entry(key, item.value, item.mod_revision) if key is not None else None
            if isinstance(entry, RegionEntry) and _serves(entry):
                jurisdictions[entry.region_id] = entry.jurisdiction
    for region_id, pending in state.pending_regions().items():
        jurisdictions.pop(region_id, None)
        if pending is not None and _serves(pending):
            jurisdictions[region_id] = pending.jurisdiction
    return jurisdictions, Unchanged(prefix, revision)
