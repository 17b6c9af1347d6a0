"""A tenant's budget among its limits, for those who ask what is left of them."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline_admission.budgets import Budgets, month_of
from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.promise_store import PromiseStore
from trunkline_admission.quota import Grant, LimitState, Period, QuotaAuthority, Scope, TenantQuota, Unit
from trunkline_lease.charge import NOTHING, Charge


class BudgetStates:
    """A `QuotaAuthority` whose states end with the month's budget, if the tenant has one. Grants are the other one's.

    The budget is told as this region knows it: by the store's sum, or what the tenant's home region said last if that
    is more; while the store is away, by what this replica has heard.
    """

    def __init__(self, quotas: QuotaAuthority, store: PromiseStore, budgets: Budgets) -> None:
        """Ask `quotas` for everything else."""
        self._quotas = quotas
        self._store = store
        self._budgets = budgets

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
        return await self._quotas.take(quota, wanted, returned, key=key, advanced=advanced)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`, with the budget."""
        states = await self._quotas.states(quota, key)
        if quota.budget_micros_per_month <= 0:
            return states
        return [*states, await self._budget(quota)]

    async def _budget(self, quota: TenantQuota) -> LimitState:
        now_s, allowed = self._store.clock.now_s(), quota.budget_micros_per_month
        month = month_of(quota.time_zone, now_s)
        try:
            spent = await self._store.spent_micros(quota.tenant_id, month.label)
            self._budgets.sums.learn(quota.tenant_id, month.label, spent)
        except AUTHORITY_AWAY:
            pass  # what is known here is told
        return LimitState(
            scope=Scope.TENANT,
            period=Period.MONTH,
            unit=Unit.MICROS,
            limit=allowed,
            used=round(self._budgets.used_part(quota.tenant_id, month, allowed, now_s) * allowed),
            resets_at_s=month.ends_at_s,
        )
