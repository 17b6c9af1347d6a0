"""One grant of quota, from the map's word on the tenant to the authority's answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from trunkline_admission.quota import Grant, Period, QuotaAuthority, QuotaSource, Refusal, Scope, TenantQuota, Unit
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.errors import ResidencyRouterOutside, TenantSuspended, TenantUnknown

NO_TENANT_RETRY_S: Final = 1.0
"""When to ask again for a tenant that the map does not have, that is suspended, or that must not come here."""


class Tenants(Protocol):
    """What the map says of tenants; `TenantQuotas` is one."""

    def now(self, tenant_id: str) -> TenantQuota:
        """Return the tenant's quota by the map at hand. Raises TenantUnknown, TenantSuspended, MapNotReady."""


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """The answer to one wish."""

    grant: Grant
    rank: int
    tier: str
    """Empty for a tenant that is unknown or suspended."""


async def grant_of(
    tenants: Tenants,
    quotas: QuotaAuthority,
    tenant_id: str,
    wanted: Charge,
    returned: Charge = NOTHING,
    *,
    key: str = "",
    advanced: Charge = NOTHING,
) -> LeaseGrant:
    """Put back, book, and grant for a tenant; one that has no quota here is granted nothing.

    A key without limits of its own counts as none: the map may have changed since it was asked for. Raises MapNotReady.
    """
    try:
        quota = tenants.now(tenant_id)
        grant = await quotas.take(quota, wanted, returned, key=key if key in quota.keys else "", advanced=advanced)
    except (TenantUnknown, TenantSuspended, ResidencyRouterOutside):
        return LeaseGrant(_NO_TENANT, 0, "")
    return LeaseGrant(grant, quota.rank, quota.tier)


_NO_TENANT: Final = Grant(
    NOTHING, QuotaSource.AUTHORITY, Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, NO_TENANT_RETRY_S)
)
