"""What the map allows here: the collection is the tenant's, placed in this region, and inside its jurisdictions."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_map.snapshot import CollectionEntry, MapSnapshot, RegionEntry, TenantEntry
from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CollectionNotPlaced,
    CollectionUnknown,
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

    def __init__(self, source: MapSource, region_id: str) -> None:
        """Read the map from `source`, as `region_id`."""
        self._source = source
        self._region_id = region_id

    async def resolve(
        self, tenant_id: str, collection_ids: Sequence[str], map_token: bytes, deadline: Deadline
    ) -> list[CollectionRef]:
        """Return where each collection lies, by the map that `map_token` names or a later one.

        Raises StaleMap, MapNotReady, MapTokenInvalid, TenantUnknown, TenantSuspended, CollectionUnknown,
        CollectionNotPlaced, ResidencyViolation or SpaceUnknown.
        """
        snapshot = await self._source.at_least(map_token, until_map(deadline))
        tenant = snapshot.tenant(tenant_id)
        if tenant is None:
            raise TenantUnknown
        if tenant.suspended:
            raise TenantSuspended
        region = snapshot.region(self._region_id)
        return [self._ref(snapshot, region, tenant, collection_id) for collection_id in collection_ids]

    def _ref(
        self, snapshot: MapSnapshot, region: RegionEntry | None, tenant: TenantEntry, collection_id: str
    ) -> CollectionRef:
        told = {"collection": collection_id}
        entry = snapshot.collection(tenant.tenant_id, collection_id)
        if entry is None:
            raise CollectionUnknown(metadata=told)
        if self._region_id not in entry.placement:
            raise CollectionNotPlaced(metadata=told | {"region": self._region_id})
        if region is None or not _inside(region, tenant, entry):
            raise ResidencyViolation(metadata=told | {"region": self._region_id})
        space = snapshot.space(entry.space_id)
        if space is None:
            raise SpaceUnknown(metadata={"space": entry.space_id})
        scope = Scope(entry.tenant_id, entry.collection_id)
        return CollectionRef(scope, entry.physical_name, entry.space_id, space.dimension)


def _inside(region: RegionEntry, tenant: TenantEntry, entry: CollectionEntry) -> bool:
    """Return True if the region is inside the collection's and the tenant's jurisdictions."""
    return region.jurisdiction in entry.jurisdictions and region.jurisdiction in tenant.jurisdictions
