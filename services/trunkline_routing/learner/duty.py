"""Which region's learner works for a tenant.

Learners agree without talking: each takes the region with the highest hash (rendezvous hashing), so that losing a
region moves its own tenants alone. Where maps differ for a moment two of them work, or none does: what they
write is named by its content and changes by compare-and-set, so that the former is harmless and the latter passes.
"""

from __future__ import annotations

import hashlib

from trunkline_map.entries import RegionState, TenantEntry
from trunkline_map.snapshot import MapSnapshot


def region_in_charge(snapshot: MapSnapshot, tenant: TenantEntry, own_region: str) -> str | None:
    """Return the region whose learner works for the tenant; None if no allowed region has one that serves.

    `own_region` counts as having one, so that a learner works before the map names it.
    """
    candidates = [
        region.region_id
        for region in snapshot.regions()
        if region.jurisdiction in tenant.jurisdictions
        and region.state is RegionState.SERVING
        and (region.learning_endpoints or region.region_id == own_region)
    ]
    return max(candidates, key=lambda region_id: _rank(tenant.tenant_id, region_id), default=None)


def in_charge(snapshot: MapSnapshot, tenant: TenantEntry, own_region: str) -> bool:
    """Return True if `own_region`'s learner works for the tenant, and may: a suspended tenant is left alone."""
    return not tenant.suspended and region_in_charge(snapshot, tenant, own_region) == own_region


def _rank(tenant_id: str, region_id: str) -> bytes:
    return hashlib.blake2b(f"{tenant_id}\n{region_id}".encode(), digest_size=8).digest()
