"""Deadlines only shrink."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded

seconds = st.floats(min_value=-1e4, max_value=1e4)
spans = st.floats(min_value=0, max_value=1e4)


@given(left=seconds, caps=st.lists(st.tuples(spans, spans), max_size=6))
def test_a_chain_of_hops_only_shrinks(left: float, caps: list[tuple[float, float]]) -> None:
    """Whatever caps and reserves follow one another, no hop ends later than its caller less the reserve."""
    deadline = Deadline.after(left)
    for cap_s, reserve_s in caps:
        inner = deadline.within(cap_s, reserve_s=reserve_s)
        assert inner.at_s <= deadline.at_s - reserve_s
        assert inner.remaining_s() <= max(cap_s, 0.0)
        deadline = inner


@given(left=seconds)
def test_the_time_left_is_never_negative(left: float) -> None:
    """Nobody has to guard against a timeout below zero."""
    deadline = Deadline.after(left)
    assert deadline.remaining_s() >= 0
    assert deadline.expired() == (deadline.remaining_s() == 0) or left > 0


@given(left=st.floats(min_value=-10, max_value=0))
def test_what_has_expired_is_refused(left: float) -> None:
    """Even without a floor."""
    with pytest.raises(DeadlineExceeded):
        Deadline.after(left).require()


@given(left=st.floats(min_value=5, max_value=100), floor=st.floats(min_value=0, max_value=4))
def test_what_has_time_enough_goes_on(left: float, floor: float) -> None:
    """`require` gives what is left, and refuses less than the floor."""
    assert floor < Deadline.after(left).require(floor) <= left
    with pytest.raises(DeadlineExceeded):
        Deadline.after(left).require(left + 1)
