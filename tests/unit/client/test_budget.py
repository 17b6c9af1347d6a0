"""The retry budget bounds repeats to a share of traffic."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_client.budget import RetryBudget


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_floor_is_allowed_without_traffic() -> None:
    """A client that has sent nothing yet may repeat as often as the floor says."""
    budget = RetryBudget(ratio=0.2, floor=3, clock=Clock())

    assert [budget.try_spend() for _ in range(5)] == [True, True, True, False, False]


def test_ratio_counts_requests_of_the_window() -> None:
    """A hundred requests pay for twenty repeats."""
    budget = RetryBudget(ratio=0.2, floor=3, clock=Clock())
    for _ in range(100):
        budget.record_request()

    assert sum(budget.try_spend() for _ in range(100)) == 20


def test_spent_repeats_come_back_after_the_window() -> None:
    """What was spent is forgotten once the window has passed, however long nothing happened."""
    clock = Clock()
    budget = RetryBudget(ratio=0.2, floor=2, window_s=10.0, clock=clock)
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]

    clock.now_s += 11.0
    assert budget.available()
    clock.now_s += 1e6
    assert [budget.try_spend() for _ in range(3)] == [True, True, False]


@given(
    st.lists(st.tuples(st.sampled_from(["request", "retry"]), st.floats(0.0, 3.0)), max_size=200),
    st.floats(0.0, 1.0),
    st.integers(0, 5),
)
def test_repeats_never_pass_the_budget(events: list[tuple[str, float]], ratio: float, floor: int) -> None:
    """Whatever the order of events, repeats granted in the last window stay within the larger of floor and share."""
    clock = Clock()
    budget = RetryBudget(ratio=ratio, floor=floor, window_s=10.0, clock=clock)
    log: list[tuple[str, float]] = []
    for kind, pause_s in events:
        clock.now_s += pause_s
        if kind == "request":
            budget.record_request()
            log.append(("request", clock.now_s))
        elif budget.try_spend():
            log.append(("retry", clock.now_s))
            # Buckets forget up to one tenth of a window early, never late: count what is surely inside.
            inside = [item for item, at_s in log if at_s > clock.now_s - 9.0]
            around = [item for item, at_s in log if at_s > clock.now_s - 10.1]
            assert inside.count("retry") <= max(floor, ratio * around.count("request")) + 1


@pytest.mark.parametrize(
    ("ratio", "floor", "window_s"), [(-0.1, 3, 10.0), (1.5, 3, 10.0), (0.2, -1, 10.0), (0.2, 3, 0.0)]
)
def test_bad_budgets_are_refused(ratio: float, floor: int, window_s: float) -> None:
    """A budget outside its bounds is a mistake of the program."""
    with pytest.raises(ValueError, match="ratio must be"):
        RetryBudget(ratio, floor, window_s)
