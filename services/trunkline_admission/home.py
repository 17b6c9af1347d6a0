"""One limit over several regions: each tenant's quota is kept by its home region, whoever is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from trunkline_admission.quota import (
    Grant,
    LimitState,
    Period,
    QuotaAuthority,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_lease.charge import NOTHING, Charge
from trunkline_map.entries import TenantEntry
from trunkline_map.home_region import home_region, keeping_regions
from trunkline_map.source import MapSource
from trunkline_mesh.errors import ResidencyRouterOutside, TenantUnknown

NOT_HOME_RETRY_S: Final = 0.2
"""When another region may ask again that takes this one for a home which it is not: the maps are about to agree."""


class Homes:
    """Who keeps a tenant's quota, seen from one region by the map at hand."""

    def __init__(self, region_id: str, source: MapSource) -> None:
        """Look from `region_id`. A region that the map does not have keeps the quotas that no other one can."""
        self._region_id = region_id
        self._source = source

    def require_inside(self, tenant_id: str) -> TenantEntry:
        """Return the tenant's entry. Raises TenantUnknown, MapNotReady, and ResidencyRouterOutside if this region must
        neither keep nor see what the tenant uses."""
        snapshot = self._source.snapshot
        entry = snapshot.tenant(tenant_id)
        if entry is None:
            raise TenantUnknown
        region = snapshot.region(self._region_id)
        if region is not None and region.jurisdiction not in entry.jurisdictions:
            allowed = [each.region_id for each in snapshot.regions() if each.jurisdiction in entry.jurisdictions]
            raise ResidencyRouterOutside(metadata={"allowedRegions": ",".join(allowed[:8])})
        return entry

    def regions_of(self, tenant_id: str) -> int:
        """Return how many regions may keep the tenant's quota and can; at least 1. Raises as `require_inside`."""
        return max(1, len(keeping_regions(self._source.snapshot, self.require_inside(tenant_id))))

    def of(self, tenant_id: str) -> str | None:
        """Return the region that keeps the tenant's quota, None if it is this one. Raises as `require_inside`."""
        home = home_region(self._source.snapshot, self.require_inside(tenant_id))
        return None if home is None or home == self._region_id else home


class HomeQuota:
    """A `QuotaAuthority` that asks the tenant's home: this region's own authority, or another region's by lease."""

    def __init__(self, homes: Homes, own: QuotaAuthority, away: Callable[[str], QuotaAuthority]) -> None:
        """Ask `own` where this region is the home, else what `away` gives for the home's name."""
        self._homes = homes
        self._own = own
        self._away = away

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`. Raises ResidencyRouterOutside where the tenant must not be counted."""
        return await self._keeper(quota).take(quota, wanted, returned, key=key, advanced=advanced)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`; of another region as that one tells them."""
        return await self._keeper(quota).states(quota, key)

    def _keeper(self, quota: TenantQuota) -> QuotaAuthority:
        home = self._homes.of(quota.tenant_id)
        return self._own if home is None else self._away(home)


class OwnTenantsQuota:
    """A `QuotaAuthority` for other regions that ask: of tenants whose home this is, and of no others.

    While maps disagree two regions might each take the other for the home; nobody grants then, instead of asking in a
    circle.
    """

    def __init__(self, homes: Homes, own: QuotaAuthority) -> None:
        """Ask `own`."""
        self._homes = homes
        self._own = own

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`; refuses for a moment what belongs elsewhere."""
        if self._homes.of(quota.tenant_id) is not None:
            return _NOT_HOME
        return await self._own.take(quota, wanted, returned, key=key, advanced=advanced)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`."""
        return await self._own.states(quota, key)


_NOT_HOME: Final = Grant(
    NOTHING,
    QuotaSource.AUTHORITY,
    Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, NOT_HOME_RETRY_S),
)
