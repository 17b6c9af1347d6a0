"""Use case: what a tenant is to this region, by the map at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trunkline_admission.granting import Tenants


@dataclass(frozen=True, slots=True)
class TenantStanding:
    """A tenant that is served here."""

    tier: str
    """By the tier file: where that does not have the map's tier, the one of the lowest rank."""
    rank: int
    """The tier's; higher is served first."""


class Standings:
    """Tells a tenant's standing, or why it is refused, just as an admission would. From memory: it spends nothing."""

    def __init__(self, tenants: Tenants, require_inside: Callable[[str], object]) -> None:
        """Read from `tenants`. `require_inside` raises for a tenant that must not be counted in this region."""
        self._tenants = tenants
        self._require_inside = require_inside

    def of(self, tenant_id: str) -> TenantStanding:
        """Return a tenant's standing. Raises TenantUnknown, TenantSuspended, ResidencyRouterOutside, MapNotReady."""
        quota = self._tenants.now(tenant_id)
        self._require_inside(tenant_id)
        return TenantStanding(quota.tier, quota.rank)
