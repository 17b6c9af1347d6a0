"""Which region keeps a tenant's quota, where the tenant may use several."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

from trunkline_map.entries import RegionEntry, RegionState, TenantEntry
from trunkline_map.snapshot import MapSnapshot

KEPT_WEIGHTS: Final = 1 << 16
"""Pairs of regions and tenants whose hash is remembered: asked for with every lease and permit."""


def home_region(snapshot: MapSnapshot, tenant: TenantEntry) -> str | None:
    """Return the region that keeps the tenant's quota; None if no region can.

    Among the regions inside its jurisdictions that have admission endpoints and are not DOWN, the one of the highest
    hash of region and tenant (rendezvous hashing, Thaler and Ravishankar 1998): every process with the same map names
    the same region, tenants spread evenly, and a region that goes or comes moves its own tenants alone.
    """
    best: tuple[bytes, str] | None = None
    for region in keeping_regions(snapshot, tenant):
        candidate = (_weight(region.region_id, tenant.tenant_id), region.region_id)
        if best is None or candidate > best:
            best = candidate
    return None if best is None else best[1]


def keeping_regions(snapshot: MapSnapshot, tenant: TenantEntry) -> tuple[RegionEntry, ...]:
    """Return the regions that may keep the tenant's quota and can, in the order of their names."""
    return tuple(
        region for region in snapshot.regions() if region.jurisdiction in tenant.jurisdictions and keeps_quota(region)
    )


def keeps_quota(region: RegionEntry) -> bool:
    """Return True if the region can keep quotas at all."""
    return bool(region.admission_endpoints) and region.state is not RegionState.DOWN


@lru_cache(maxsize=KEPT_WEIGHTS)
def _weight(region_id: str, tenant_id: str) -> bytes:
    return hashlib.blake2b(f"{region_id}\0{tenant_id}".encode(), digest_size=8).digest()
