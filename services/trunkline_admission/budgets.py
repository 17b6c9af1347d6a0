"""What tenants' months cost, and where that leaves their budgets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trunkline_map.entries import TenantEntry

WARNED_PART: Final = 0.8
"""Spent part of a budget that is warned of."""
MAX_TENANTS: Final = 20_000
"""Tenants whose month is remembered here; the one that asked for nothing longest makes room, and is read anew."""


class BudgetState(IntEnum):
    """Where a budget stands; values as in the contract."""

    FINE = 0
    WARNED = 1
    SPENT = 2


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of a time zone."""

    label: str
    """`YYYY-MM`."""
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


def month_of(time_zone: str, now_s: float) -> Month:
    """Return the month that runs at Unix time `now_s`; an unknown zone, which the map's writer refuses, counts as UTC."""
    zone = _zone(time_zone or "UTC")
    now = datetime.fromtimestamp(now_s, zone)
    year, month = (now.year + 1, 1) if now.month == 12 else (now.year, now.month + 1)
    return Month(f"{now.year:04d}-{now.month:02d}", datetime(year, month, 1, tzinfo=zone).timestamp())


def budget_micros(entry: TenantEntry, now_s: float) -> int:
    """Return what the tenant may spend in a month, by the last override in force if that says so; 0 for no end."""
    for override in reversed(entry.overrides):
        if override.ends_at_s > now_s:
            return override.limits.budget_micros_per_month or entry.limits.budget_micros_per_month
    return entry.limits.budget_micros_per_month


class Budgets:
    """What tenants have spent in their months, as far as this replica knows: the store's last word, and what came since.

    One replica's own view while the store is away. Not thread-safe.
    """

    def __init__(self) -> None:
        """Know of nobody yet."""
        self._spent: OrderedDict[tuple[str, str], int] = OrderedDict()

    def add(self, tenant_id: str, month: Month, cost_micros: int) -> None:
        """Add a cost that the store has not counted yet."""
        key = (tenant_id, month.label)
        self._keep(key, self._spent.get(key, 0) + cost_micros)

    def learn(self, tenant_id: str, month: str, spent_micros: int) -> None:
        """Take the store's sum for what it is. Costs that are on their way to it come back with the next one."""
        self._keep((tenant_id, month), spent_micros)

    def standing(self, entries: Sequence[TenantEntry], now_s: float) -> list[Budget]:
        """Return the budgets that are nearly or wholly spent."""
        found = []
        for entry in entries:
            allowed, month = budget_micros(entry, now_s), month_of(entry.time_zone, now_s)
            spent = self._spent.get((entry.tenant_id, month.label), 0)
            if allowed > 0 and spent >= WARNED_PART * allowed:
                state = BudgetState.SPENT if spent >= allowed else BudgetState.WARNED
                found.append(Budget(entry.tenant_id, state, spent / allowed, month.ends_at_s))
        return found

    def _keep(self, key: tuple[str, str], spent_micros: int) -> None:
        self._spent[key] = spent_micros
        self._spent.move_to_end(key)
        if len(self._spent) > MAX_TENANTS:
            self._spent.popitem(last=False)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
