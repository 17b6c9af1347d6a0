"""The learned time of a passage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_rerank.pace import Pace


@given(st.lists(st.tuples(st.floats(1e-4, 10), st.integers(1, 32)), min_size=1, max_size=50), st.floats(1e-4, 10))
def test_it_stays_within_what_was_measured(batches: list[tuple[float, int]], initial_s: float) -> None:
    """The mean lies between the least and the most that was seen or assumed."""
    pace = Pace(initial_s)
    for elapsed_s, passages in batches:
        pace.learn(elapsed_s, passages)
    seen = [initial_s, *(elapsed_s / passages for elapsed_s, passages in batches)]

    assert min(seen) * 0.999 <= pace.s_per_passage <= max(seen) * 1.001


def test_it_follows_a_change_within_a_few_batches() -> None:
    """A cache that fills up shows soon."""
    pace = Pace(0.05)
    for _ in range(10):
        pace.learn(0.002, 2)

    assert pace.s_per_passage == pytest.approx(0.001, rel=2.0)


def test_a_batch_that_was_cut_off_never_makes_it_faster() -> None:
    """It took at least as long as it was given."""
    pace = Pace(0.05)
    pace.learn_at_least(0.001, 2)
    assert pace.s_per_passage == pytest.approx(0.05)
    pace.learn_at_least(1.0, 2)
    assert pace.s_per_passage > 0.05
