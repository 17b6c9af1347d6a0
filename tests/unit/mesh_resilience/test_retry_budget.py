"""Retries add a share to the traffic, never a multiple."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh_resilience.virtual_time import ManualClock

from trunkline_mesh.retry_budget import RetryBudget


def test_three_retries_are_always_allowed() -> None:
    """Also where nothing was asked before."""
    budget = RetryBudget(clock=ManualClock())
    assert [budget.try_spend() for _ in range(4)] == [True, True, True, False]


def test_a_fifth_of_the_traffic_may_be_retried() -> None:
    """Of 100 requests, 20."""
    budget = RetryBudget(clock=ManualClock())
    for _ in range(100):
        budget.record_request()
    assert sum(budget.try_spend() for _ in range(100)) == 20


def test_the_budget_comes_back_with_the_window() -> None:
    """What was spent a window ago no longer counts, and neither does the traffic that paid for it."""
    clock = ManualClock()
    budget = RetryBudget(clock=clock)
    for _ in range(100):
        budget.record_request()
    assert sum(budget.try_spend() for _ in range(100)) == 20
    clock.advance(10.0)
    assert sum(budget.try_spend() for _ in range(100)) == 3


@given(st.lists(st.tuples(st.booleans(), st.floats(0.0, 2.0)), max_size=300))
def test_no_window_holds_more_retries_than_the_budget(steps: list[tuple[bool, float]]) -> None:
    """Whatever the order of requests and retries, at most max(3, a fifth of the window's requests) are granted."""
    clock = ManualClock()
    budget = RetryBudget(clock=clock)
    requests: list[float] = []
    retries: list[float] = []
    for is_request, gap_s in steps:
        clock.advance(gap_s)
        if is_request:
            budget.record_request()
            requests.append(clock.now_s)
        elif budget.try_spend():
            retries.append(clock.now_s)
            recent = sum(at_s > clock.now_s - 9.5 + 1e-6 for at_s in retries)
            asked = sum(at_s > clock.now_s - 10.0 - 1e-6 for at_s in requests)
            assert recent <= max(3, int(0.2 * asked))


def test_a_retry_storm_is_damped_where_naive_retries_multiply_it() -> None:
    """A dead dependency, three attempts each: 3.0 calls a request without a budget, at most 1.2 with it."""
    budget = RetryBudget(clock=ManualClock())
    naive_calls = our_calls = 0
    for _ in range(1000):
        budget.record_request()
        naive_calls += 3
        our_calls += 1
        for _ in range(2):
            if not budget.try_spend():
                break
            our_calls += 1
    assert naive_calls == 3000
    assert our_calls <= 1200 + 3


@pytest.mark.parametrize(("ratio", "floor"), [(-0.1, 3), (1.1, 3), (0.2, -1)])
def test_budgets_that_make_no_sense_are_refused(ratio: float, floor: int) -> None:
    """A share is 0 to 1, a floor not negative."""
    with pytest.raises(ValueError, match="makes no sense"):
        RetryBudget(ratio, floor)
