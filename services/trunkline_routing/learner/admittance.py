"""The first question of every call: may this learner look at the tenant, and is another one in charge of it?"""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_map.entries import RegionEntry, RegionState, TenantEntry
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh.errors import MapNotReady, ResidencyRouterOutside, TenantSuspended, TenantUnknown
from trunkline_mesh.request import ROLE_OPERATOR, current_principal
from trunkline_routing.control.access import readable_tenant
from trunkline_routing.learner.duty import region_in_charge


@dataclass(frozen=True, slots=True)
class Admitted:
    """A tenant that may be looked at here."""

    tenant_id: str
    elsewhere: RegionEntry | None
    """The region whose learner is in charge, where that is another one that can be asked."""


class Admittance:
    """Residency before everything else, as at the front door."""

    def __init__(self, source: MapSource, region_id: str) -> None:
        """Admit for the learner of `region_id`."""
        self._source = source
        self._region_id = region_id

    def of(self, requested: str) -> Admitted:
        """Return the tenant of the current request: its own, or the one that an operator names.

        Raises FieldInvalid, TenantMismatch, MapNotReady, TenantUnknown, TenantSuspended for its own people, and
        ResidencyRouterOutside.
        """
        tenant_id = readable_tenant(requested)
        snapshot = self._source.snapshot
        tenant = snapshot.tenant(tenant_id)
        if tenant is None:
            raise TenantUnknown
        if tenant.suspended and not current_principal().has_role(ROLE_OPERATOR):
            raise TenantSuspended
        own = snapshot.region(self._region_id)
        if own is None:
            raise MapNotReady("this learner's region is not in the map", retry_delay_s=1.0)
        if own.jurisdiction not in tenant.jurisdictions:
            raise _outside(snapshot, tenant)
        name = region_in_charge(snapshot, tenant, self._region_id)
        region = snapshot.region(name) if name is not None and name != self._region_id else None
        return Admitted(tenant_id, region if region is not None and region.learning_endpoints else None)


def _outside(snapshot: MapSnapshot, tenant: TenantEntry) -> ResidencyRouterOutside:
    allowed = [
        region
        for region in snapshot.regions()
        if region.jurisdiction in tenant.jurisdictions and region.state is RegionState.SERVING
    ]
    return ResidencyRouterOutside(
        metadata={
            "allowedRegions": ",".join(region.region_id for region in allowed[:8]),
            "allowedEndpoints": ",".join(
                address for region in allowed[:8] for address in region.learning_endpoints[:1]
            ),
        }
    )
