"""What the map says a tenant may spend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from trunkline_admission.quota import Quota
from trunkline_admission.settings import TierSettings
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended, TenantUnknown
from trunkline_mesh.logs import get_logger, tenant_hash

MAP_WAIT_PART: Final = 0.9
"""Of the time left at most this much is spent on waiting for the map: a refusal at the very end would reach nobody,
because gRPC tells us up to 3 % more time than the caller has."""

_LOG: Final = get_logger("admission.tenants")


class TenantQuotas:
    """Quotas of tenants by the map's tier and the settings' tiers; a tenant's own quota overrides its tier's.

    A tier that the settings do not have counts as the tier of the lowest rank: a new name in the map must not shut its
    tenants out before every replica has the new settings.
    """

    def __init__(self, source: MapSource, tiers: Mapping[str, TierSettings]) -> None:
        """Read from `source`; `tiers` holds at least one."""
        self._source = source
        self._tiers = dict(tiers)
        self._lowest = min(tiers, key=lambda name: tiers[name].rank)
        self._told: set[str] = set()

    async def at(self, tenant_id: str, map_token: bytes, deadline: Deadline) -> Quota:
        """Return the tenant's quota as of the map token or later.

        Raises TenantUnknown, TenantSuspended, MapNotReady, MapTokenInvalid, and StaleMap shortly before the deadline.
        """
        limit = deadline.within(MAP_WAIT_PART * deadline.remaining_s())
        return self._quota(await self._source.at_least(map_token, limit), tenant_id)

    def now(self, tenant_id: str) -> Quota:
        """Return the tenant's quota by the map at hand. Raises TenantUnknown, TenantSuspended, MapNotReady."""
        return self._quota(self._source.snapshot, tenant_id)

    def _quota(self, snapshot: MapSnapshot, tenant_id: str) -> Quota:
        entry = snapshot.tenant(tenant_id)
        if entry is None:
            raise TenantUnknown
        if entry.suspended:
            raise TenantSuspended
        name = entry.tier if entry.tier in self._tiers else self._lowest_for(entry.tier, tenant_id)
        tier = self._tiers[name]
        rate = float(entry.quota_tokens_per_s or tier.tokens_per_s)
        return Quota(
            tenant_id=tenant_id,
            tier=name,
            rank=tier.rank,
            rate_tokens_per_s=rate,
            burst_tokens=max(1.0, tier.burst_tokens * rate / tier.tokens_per_s),
            guaranteed_share=tier.guaranteed_share,
        )

    def _lowest_for(self, tier: str, tenant_id: str) -> str:
        if tier not in self._told and len(self._told) < 64:
            self._told.add(tier)
            _LOG.warning("tier is not configured", tier=tier, tenant_hash=tenant_hash(tenant_id))
        return self._lowest
