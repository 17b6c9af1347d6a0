"""Makes policies ready when the map brings a new version of one that is in use, before a query asks for it."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_map.entries import PolicyPointer
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.lanes import Lanes
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_book import PolicyBook

LOOK_S: Final = 0.1
"""How often the map is looked at: two look-ups for each policy in use."""

log = get_logger("policies")


async def keep_warm(source: MapSource, policies: PolicyBook, lanes: Lanes, region_id: str) -> None:
    """Follow the map until cancelled; a policy that cannot be made ready is left to the queries that need it."""
    while True:
        await asyncio.sleep(LOOK_S)  # the map tells nobody that it has changed
        if not source.ready():
            continue
        snapshot = source.snapshot
        for pointer in list(policies.changed(snapshot)):
            gate = _gate(snapshot, pointer, region_id)
            if gate is None:
                continue
            try:
                await lanes.warm(gate, pointer)
            except (DomainError, TimeoutError) as exc:
                log.warning("a changed policy could not be made ready", error_type=type(exc).__name__)


def _gate(snapshot: MapSnapshot, pointer: PolicyPointer, region_id: str) -> Gate | None:
    """Return what a request of the tenant would have; None where this router may not serve it."""
    tenant, region = snapshot.tenant(pointer.tenant_id), snapshot.region(region_id)
    if tenant is None or region is None or region.jurisdiction not in tenant.jurisdictions:
        return None
    return Gate(snapshot, tenant, region)
