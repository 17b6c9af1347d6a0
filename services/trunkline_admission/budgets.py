"""What tenants' months cost, and where that leaves their budgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from trunkline_admission.month_sums import MonthSums
from trunkline_admission.periods import Periods
from trunkline_admission.tenant_limits import override_in_force
from trunkline_map.entries import TenantEntry

WARNED_PART: Final = 0.8
"""Spent part of a budget that is warned of."""
MAX_TENANTS: Final = 20_000
"""Tenants whose home region's word is remembered here; the one that was told of longest ago makes room."""


class BudgetState(IntEnum):
    """Where a budget stands; values as in the contract."""

    FINE = 0
    WARNED = 1
    SPENT = 2


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of a time zone."""

    label: str
    """Unix time at which it began there: the same month of another zone is another one."""
    ends_at_s: float
    """Unix time at which the next one begins there."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One tenant's budget."""

    tenant_id: str
    state: BudgetState
    used_part: float
    resets_at_s: float
    """Unix time."""


_PERIODS: Final = Periods()


def month_of(time_zone: str, now_s: float) -> Month:
    """Return the month that runs at Unix time `now_s`; a zone that is not known here counts as UTC."""
    window = _PERIODS.window(time_zone, now_s)
    return Month(str(window.month_begin_s), window.month_end_s)


def budget_micros(entry: TenantEntry, now_s: float) -> int:
    """Return what the tenant may spend in a month, by the last override in force if that says so; 0 for no end."""
    override = override_in_force(entry, now_s)
    own = entry.limits.budget_micros_per_month
    return own if override is None else override.limits.budget_micros_per_month or own


class Budgets:
    """What tenants have spent in their months, as far as this replica knows, and where that leaves their budgets.

    One replica's own view while the store is away. What a tenant's home region tells of its budget counts beside it,
    because that one knows all regions' costs. Not thread-safe.
    """

    def __init__(self) -> None:
        """Know of nobody yet."""
        self.sums: Final = MonthSums()
        self._at_home: OrderedDict[str, Budget] = OrderedDict()

    def learn_from_home(self, budget: Budget) -> None:
        """Take what the tenant's home region says; it holds until the month is over or it says otherwise."""
        self._at_home[budget.tenant_id] = budget
        self._at_home.move_to_end(budget.tenant_id)
        if len(self._at_home) > MAX_TENANTS:
            self._at_home.popitem(last=False)

    def forget_home(self, tenant_id: str) -> None:
        """Learn that the home region has nothing to say of the tenant's budget."""
        self._at_home.pop(tenant_id, None)

    def used_part(self, tenant_id: str, month: Month, allowed_micros: int, now_s: float) -> float:
        """Return the spent part of a budget above 0, as far as it is known here."""
        part = self.sums.spent(tenant_id, month.label) / allowed_micros
        at_home = self._at_home.get(tenant_id)
        if at_home is not None and at_home.resets_at_s > now_s:
            return max(part, at_home.used_part)
        return part

    def standing(self, entries: Sequence[TenantEntry], now_s: float) -> list[Budget]:
        """Return the budgets that are nearly or wholly spent."""
        found = []
        for entry in entries:
            allowed = budget_micros(entry, now_s)
            if allowed <= 0:
                continue
            month = month_of(entry.time_zone, now_s)
            part = self.used_part(entry.tenant_id, month, allowed, now_s)
            if part >= WARNED_PART:
                state = BudgetState.SPENT if part >= 1 else BudgetState.WARNED
                found.append(Budget(entry.tenant_id, state, part, month.ends_at_s))
        return found
