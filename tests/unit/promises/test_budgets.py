"""Budgets of tenants' months."""

from __future__ import annotations

from datetime import UTC, datetime

from trunkline_admission.budgets import MAX_TENANTS, Budget, Budgets, BudgetState, budget_micros, month_of
from trunkline_admission.month_sums import MAX_MONTHS
from trunkline_map.entries import LimitOverride, TenantEntry, TenantLimits

NOW_S = datetime(2026, 11, 30, 23, 30, tzinfo=UTC).timestamp()


def spender(budget: int = 1000, zone: str = "", *overrides: LimitOverride) -> TenantEntry:
    """Return a tenant with a budget."""
    limits = TenantLimits(budget_micros_per_month=budget)
    return TenantEntry("acme", "pro", frozenset({"eu"}), limits=limits, overrides=overrides, time_zone=zone)


def states(budgets: Budgets, entry: TenantEntry, now_s: float = NOW_S) -> list[BudgetState]:
    """Return what is told of one tenant."""
    return [told.state for told in budgets.standing([entry], now_s)]


def test_a_budget_is_warned_of_at_80_percent_and_spent_at_all() -> None:
    """Below it nothing is told."""
    budgets, month = Budgets(), month_of("", NOW_S).label
    seen = []
    for cost in (799, 1, 199, 1, 5):
        budgets.sums.add("acme", month, cost)
        seen.append(states(budgets, spender()))

    assert seen == [[], [BudgetState.WARNED], [BudgetState.WARNED], [BudgetState.SPENT], [BudgetState.SPENT]]


def test_a_month_is_the_tenants_own() -> None:
    """Half an hour before midnight in London it is the next month in Tokyo."""
    assert month_of("Europe/London", NOW_S).label != month_of("Asia/Tokyo", NOW_S).label
    assert month_of("Europe/London", NOW_S).ends_at_s == datetime(2026, 12, 1, tzinfo=UTC).timestamp()
    budgets = Budgets()
    budgets.sums.learn("acme", month_of("Europe/London", NOW_S).label, 5000)

    assert states(budgets, spender(zone="Europe/London")) == [BudgetState.SPENT]
    assert states(budgets, spender(zone="Asia/Tokyo")) == []
    assert states(budgets, spender(zone="Europe/London"), NOW_S + 1800) == []


def test_the_last_override_in_force_counts() -> None:
    """One that has ended, or says nothing of the budget, does not."""
    over = LimitOverride(TenantLimits(budget_micros_per_month=5000), NOW_S + 10)
    other = LimitOverride(TenantLimits(requests_per_day=5), NOW_S + 20)

    assert budget_micros(spender(1000, "", over), NOW_S) == 5000
    assert budget_micros(spender(1000, "", over), NOW_S + 10) == 1000
    assert budget_micros(spender(1000, "", other), NOW_S) == 1000


def test_the_stores_sum_replaces_what_was_added() -> None:
    """It is the one of all replicas; a cost that another replica brought, too, is not counted here any more."""
    budgets, month = Budgets(), month_of("", NOW_S).label
    budgets.sums.add("acme", month, 5000)
    budgets.sums.settle("acme", month, 5000, 900, counted=False)
    assert states(budgets, spender()) == [BudgetState.WARNED]


def test_the_home_regions_word_counts_beside_the_own_sum() -> None:
    """The worse of both, until the home region's month is over or it takes it back."""
    budgets = Budgets()
    budgets.learn_from_home(Budget("acme", BudgetState.SPENT, 1.2, NOW_S + 100))

    assert states(budgets, spender()) == [BudgetState.SPENT]
    assert states(budgets, spender(), NOW_S + 101) == []
    budgets.forget_home("acme")
    assert states(budgets, spender()) == []


def test_tenants_without_a_budget_are_not_told_and_memory_is_bounded() -> None:
    """However many ask."""
    budgets, month = Budgets(), month_of("", NOW_S).label
    for index in range(MAX_MONTHS + 100):
        budgets.sums.add(f"t{index}", month, 10**6)
        budgets.learn_from_home(Budget(f"t{index}", BudgetState.SPENT, 1.2, NOW_S + 100))

    assert states(budgets, spender(0)) == []
    assert len(budgets.sums) == MAX_MONTHS
    assert len(budgets._at_home) == MAX_TENANTS
