"""What the map allows here: the collection is the tenant's, placed in this region, and inside its jurisdictions."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_map.snapshot import CollectionEntry, MapSnapshot, RegionEntry, TenantEntry
from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CollectionNotPlaced,
    CollectionUnknown,
    DomainError,
    ResidencyViolation,
    SpaceUnknown,
    TenantSuspended,
    TenantUnknown,
)
from trunkline_retrieval.budget import until_map
from trunkline_retrieval.model import CollectionRef, Scope


class Placements:
    """Turns a tenant's collection names into places in this region's store, or refuses.

    Routing has checked all of this before. It is checked again because a defect there must not be enough to leak:
    a tenant's documents are touched only where the map itself says that they may be.
    """

    def __init__(self, source: MapSource, region_id: str, *, jurisdiction: str = "") -> None:
        """Read the map from `source`, as `region_id`.

        `jurisdiction` is where this process is known to stand: a map that says otherwise is wrong, and nothing is
        served by it. Empty takes the map's word.
        """
        self._source = source
        self._region_id = region_id
        self._jurisdiction = jurisdiction

    async def resolve(
        self, tenant_id: str, collection_ids: Sequence[str], map_token: bytes, deadline: Deadline
    ) -> list[CollectionRef]:
        """Return where each collection lies, by the map that `map_token` names or a later one.

        Raises StaleMap, MapNotReady, MapTokenInvalid, TenantUnknown, TenantSuspended, CollectionUnknown,
        CollectionNotPlaced, ResidencyViolation or SpaceUnknown.
        """
        found = await self.resolve_each(tenant_id, collection_ids, map_token, deadline)
        for ref in found:
            if isinstance(ref, DomainError):
                raise ref
        return [ref for ref in found if isinstance(ref, CollectionRef)]

    async def resolve_each(
        self, tenant_id: str, collection_ids: Sequence[str], map_token: bytes, deadline: Deadline
    ) -> list[CollectionRef | DomainError]:
        """As `resolve`, with the refusal of a single collection in its place.

        Raises StaleMap, MapNotReady, MapTokenInvalid, TenantUnknown and TenantSuspended, which refuse them all.
        """
        snapshot = await self._source.at_least(map_token, until_map(deadline))
        tenant = snapshot.tenant(tenant_id)
        if tenant is None:
            raise TenantUnknown
        if tenant.suspended:
            raise TenantSuspended
        region = snapshot.region(self._region_id)
        return [self._ref_or_refusal(snapshot, region, tenant, collection_id) for collection_id in collection_ids]

    def _ref_or_refusal(
        self, snapshot: MapSnapshot, region: RegionEntry | None, tenant: TenantEntry, collection_id: str
    ) -> CollectionRef | DomainError:
        try:
            return self._ref(snapshot, region, tenant, collection_id)
        except DomainError as refusal:
            return refusal

    def _ref(
        self, snapshot: MapSnapshot, region: RegionEntry | None, tenant: TenantEntry, collection_id: str
    ) -> CollectionRef:
        told = {"collection": collection_id}
        entry = snapshot.collection(tenant.tenant_id, collection_id)
        if entry is None:
            raise CollectionUnknown(metadata=told)
        if self._region_id not in entry.placement:
            raise CollectionNotPlaced(metadata=told | {"region": self._region_id})
        if region is None or not self._is_here(region) or not _inside(region, tenant, entry):
            raise ResidencyViolation(metadata=told | {"region": self._region_id})
        space = snapshot.space(entry.space_id)
        if space is None:
            raise SpaceUnknown(metadata={"space": entry.space_id})
        scope = Scope(entry.tenant_id, entry.collection_id)
        store = store_endpoint(region, entry)
        return CollectionRef(scope, entry.physical_name, entry.space_id, space.dimension, store)

    def _is_here(self, region: RegionEntry) -> bool:
        return self._jurisdiction in ("", region.jurisdiction)


def store_endpoint(region: RegionEntry, entry: CollectionEntry) -> str:
    """Return the endpoint of the collection's store in the region; empty for the default one.

    Raises CollectionNotPlaced for a store that the region does not have, for one that is kept for another tenant, by
    whatever name, and for a collection with a cluster of its own where the map names none of its tenant's.
    """
    name = entry.store_in(region.region_id)
    if not name and not entry.cluster:
        return ""
    told = {"collection": entry.collection_id, "region": region.region_id, "store": name}
    store = next((store for store in region.stores if store.store_id == name), None)
    if store is None:
        raise CollectionNotPlaced("this region has no such store for the collection", metadata=told)
    keepers = {other.tenant_id for other in region.stores if other.endpoint == store.endpoint and other.tenant_id}
    if keepers - {entry.tenant_id} or (entry.cluster and store.tenant_id != entry.tenant_id):
        raise CollectionNotPlaced("the collection may not use that store", metadata=told)
    return store.endpoint


def has_stores(snapshot: MapSnapshot, region_id: str) -> bool:
    """Return True if the region has stores besides its default one."""
    region = snapshot.region(region_id)
    return region is not None and bool(region.stores)


def _inside(region: RegionEntry, tenant: TenantEntry, entry: CollectionEntry) -> bool:
    """Return True if the region is inside the collection's and the tenant's jurisdictions."""
    return region.jurisdiction in entry.jurisdictions and region.jurisdiction in tenant.jurisdictions
