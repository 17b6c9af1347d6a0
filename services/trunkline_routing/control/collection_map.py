"""Use cases of collections: where a tenant's documents lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from trunkline_map.entries import CollectionEntry, RegionEntry, SpaceEntry, TenantEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CollectionUnknown,
    RegionUnknown,
    ResidencyViolation,
    SpaceUnknown,
    TenantUnknown,
    invalid_field,
)
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_store import MapState, MapStore, Plan, entry_of, written
from trunkline_routing.control.paging import PageRequest


class Collections:
    """Collections of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Work on `maps`."""
        self._maps = maps

    async def get(self, tenant_id: str, collection_id: str, deadline: Deadline) -> tuple[CollectionEntry, bytes]:
        """Return the collection and the token of the state that was read; raise CollectionUnknown."""
        key = MapKey(Kind.COLLECTION, tenant_id, collection_id)
        state = await self._maps.read([key], deadline)
        entry = entry_of(state, key, CollectionEntry)
        if entry is None:
            raise CollectionUnknown(metadata={"collection": collection_id})
        return entry, state.token

    async def list(self, tenant_id: str, page: PageRequest, deadline: Deadline) -> EntryPage[CollectionEntry]:
        """Return one page of the tenant's collections."""
        wanted = (Kind.COLLECTION, CollectionEntry)
        return await list_entries(self._maps, wanted, page, deadline, tenant_id=tenant_id)

    async def put(self, entry: CollectionEntry, deadline: Deadline) -> tuple[CollectionEntry, bytes]:
        """Create or replace a collection whose current revision is the entry's; return it with the change's token.

        Without jurisdictions it gets the tenant's. Moves no data: documents that lie elsewhere are not copied.
        Raises RevisionConflict, TenantUnknown, SpaceUnknown, RegionUnknown, ResidencyViolation, and FieldInvalid for
        a change of space or layout, which would hide every document or mix spaces.
        """
        regions = [MapKey(Kind.REGION, region_id) for region_id in entry.placement]
        tenant, space = MapKey(Kind.TENANT, entry.tenant_id), MapKey(Kind.SPACE, entry.space_id)
        settled = entry

        async def decide(state: MapState) -> Plan:
            nonlocal settled
            state.require_revision(entry.key, entry.revision)
            settled = _within_tenant(entry, state.entry(tenant, TenantEntry))
            if state.entry(space, SpaceEntry) is None:
                raise SpaceUnknown(metadata={"space": entry.space_id})
            _require_residency(settled, [_region(state, key) for key in regions])
            if entry.revision:
                _require_same_body(settled, state.entry(entry.key, CollectionEntry))
            return Plan(puts=[settled])

        change = await self._maps.change([entry.key, tenant, space, *regions], decide, deadline)
        return written(settled, change), change.token

    async def delete(self, tenant_id: str, collection_id: str, revision: int, deadline: Deadline) -> bytes:
        """Remove a collection from the map; 0 as revision removes whatever is there. Return the change's token.

        Raises CollectionUnknown and RevisionConflict. Policies may name collections that are gone.
        """
        key = MapKey(Kind.COLLECTION, tenant_id, collection_id)

        async def decide(state: MapState) -> Plan:
            if not state.revision_of(key):
                raise CollectionUnknown(metadata={"collection": collection_id})
            if revision:
                state.require_revision(key, revision)
            return Plan(deletes=[key])

        return (await self._maps.change([key], decide, deadline)).token


def _within_tenant(entry: CollectionEntry, tenant: TenantEntry | None) -> CollectionEntry:
    """Give the collection the tenant's jurisdictions where it names none; raise if it reaches beyond them."""
    if tenant is None:
        raise TenantUnknown
    if not entry.jurisdictions:
        return replace(entry, jurisdictions=tenant.jurisdictions)
    outside = entry.jurisdictions - tenant.jurisdictions
    if outside:
        raise ResidencyViolation(
            "the collection's jurisdictions reach beyond the tenant's",
            metadata={"jurisdictions": ",".join(sorted(outside))},
        )
    return entry


def _region(state: MapState, key: MapKey) -> RegionEntry:
    region = state.entry(key, RegionEntry)
    if region is None:
        raise RegionUnknown(metadata={"region": key.name})
    return region


def _require_residency(entry: CollectionEntry, regions: Sequence[RegionEntry]) -> None:
    outside = [region.region_id for region in regions if region.jurisdiction not in entry.jurisdictions]
    if outside:
        raise ResidencyViolation(metadata={"regions": ",".join(outside)})


def _require_same_body(entry: CollectionEntry, before: CollectionEntry | None) -> None:
    """Refuse what the stored documents cannot follow: their vectors and their physical collection stay as they are."""
    if before is None:
        return
    if entry.space_id != before.space_id:
        raise invalid_field("collection.space_id", "must stay as it is: vectors of two spaces do not mix")
    if entry.physical_name != before.physical_name:
        raise invalid_field("collection.layout", "must stay as it is: the documents would not be found")
