"""A quota authority under watch: everything that goes in and comes out is told to the book."""

from __future__ import annotations

from collections.abc import Sequence

from tests.sim.pool_book import PoolBook
from tests.sim.quota_book import QuotaBook
from trunkline_admission.quota import Grant, LimitState, QuotaAuthority, Scope, TenantQuota
from trunkline_lease.charge import NOTHING, Charge


class CheckedAuthority:
    """The region's authority, and the books beside it."""

    def __init__(self, inner: QuotaAuthority, book: QuotaBook, pools: PoolBook) -> None:
        self._inner = inner
        self._book = book
        self._pools = pools
        self.takes = 0

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`."""
        self.takes += 1
        grant = await self._inner.take(quota, wanted, returned, key=key, advanced=advanced)
        granted = grant.granted
        today = self._book.granted(
            quota.tenant_id,
            (granted.requests, granted.tokens),
            (returned.requests, returned.tokens),
            (advanced.requests, advanced.tokens),
        )
        refusal = grant.refusal
        if granted or returned or advanced:
            even = self._pools.even_parts.granted(quota.tenant_id, quota.tier, today)
            self._pools.granted(quota.tier, granted.requests, returned.requests, advanced.requests, even)
        if refusal is not None and refusal.scope in (Scope.TIER, Scope.SERVICE):
            self._pools.refused(quota.tier)
        return grant

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`."""
        return await self._inner.states(quota, key)
