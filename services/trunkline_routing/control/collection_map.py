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
from trunkline_routing.control.how import How
from trunkline_routing.control.last_region import require_served
from trunkline_routing.control.listing import EntryPage, list_entries
from trunkline_routing.control.map_state import MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.stores import require_stores
from trunkline_routing.control.tiers import TierLimits, require_active


class Collections:
    """Collections of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, tiers: TierLimits | None = None) -> None:
        """Work on `maps`; `tiers` bind tenants' own admins, by default as `DEFAULT_ALLOWANCES` say."""
        self._maps = maps
        self._tiers = tiers or TierLimits(maps)

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

    async def put(self, entry: CollectionEntry, how: How, deadline: Deadline) -> tuple[CollectionEntry, bytes]:
        """Make `prepare_put`; return the collection with the change's token."""
        change = await self._maps.change([self.prepare_put(entry, how, deadline)], how, deadline)
        return change.entry(entry.key, CollectionEntry) or entry, change.token

    async def delete(self, tenant_id: str, collection_id: str, revision: int, how: How, deadline: Deadline) -> bytes:
        """Make `prepare_delete`; return the change's token."""
        prepared = self.prepare_delete(tenant_id, collection_id, revision, how)
        return (await self._maps.change([prepared], how, deadline)).token

    def prepare_put(self, entry: CollectionEntry, how: How, deadline: Deadline) -> Prepared:
        """Create or replace a collection whose current revision is the entry's.

        Without jurisdictions it gets the tenant's. Moves no data: documents that lie elsewhere are not copied.
        Raises RevisionConflict, TenantUnknown, TenantSuspended, SpaceUnknown, RegionUnknown, ResidencyViolation,
        LastAllowedRegion where none of its regions serves, TierLimit, what `require_stores` raises, and FieldInvalid
        for a change of space or layout, which would hide every document or mix spaces, and for a new primary that does
        not hold the documents.
        """
        regions = [MapKey(Kind.REGION, region_id) for region_id in entry.placement]
        tenant, space = MapKey(Kind.TENANT, entry.tenant_id), MapKey(Kind.SPACE, entry.space_id)

        async def decide(state: MapState) -> Plan:
            state.require_revision(entry.key, entry.revision)
            owner = state.entry(tenant, TenantEntry)
            if owner is None:
                raise TenantUnknown
            require_active(owner, how)
            settled = _within_tenant(entry, owner)
            if state.entry(space, SpaceEntry) is None:
                raise SpaceUnknown(metadata={"space": entry.space_id})
            placed = [_region(state, key) for key in regions]
            _require_residency(settled, placed)
            before = state.entry(entry.key, CollectionEntry) if entry.revision else None
            _require_same_body(settled, before)
            require_stores(settled, before, placed, how)
            require_served(settled, placed)
            conditions = [] if how.operator else await self._tiers.require(state, owner, settled, before, deadline)
            return Plan(puts=[settled], unchanged=conditions)

        return Prepared(entry.key, [entry.key, tenant, space, *regions], decide)

    def prepare_delete(self, tenant_id: str, collection_id: str, revision: int, how: How) -> Prepared:
        """Remove a collection from the map; 0 as revision removes whatever is there.

        Raises CollectionUnknown, RevisionConflict and TenantSuspended. Policies may name collections that are gone.
        """
        key, tenant = MapKey(Kind.COLLECTION, tenant_id, collection_id), MapKey(Kind.TENANT, tenant_id)

        async def decide(state: MapState) -> Plan:
            if not how.operator and (owner := state.entry(tenant, TenantEntry)) is not None:
                require_active(owner, how)
            if not state.revision_of(key):
                raise CollectionUnknown(metadata={"collection": collection_id})
            if revision:
                state.require_revision(key, revision)
            return Plan(deletes=[key])

        return Prepared(key, [key] if how.operator else [key, tenant], decide)


def _within_tenant(entry: CollectionEntry, tenant: TenantEntry) -> CollectionEntry:
    """Give the collection the tenant's jurisdictions where it names none; raise if it reaches beyond them."""
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
    if (entry.physical_name, entry.isolation) != (before.physical_name, before.isolation):
        raise invalid_field("collection.layout", "must stay as it is: the documents would not be found")
    if entry.placement[0] not in before.placement:
        # As a further region it is filled first; then it may lead.
        raise invalid_field("collection.placement", "must begin with a region that holds the collection already")
