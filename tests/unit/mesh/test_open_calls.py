"""Long calls are counted: they hold no slot, so nothing else would bound them."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.errors import Overloaded
from trunkline_mesh.open_calls import OpenCalls


def test_one_too_many_is_refused_at_once_and_told_when_to_come_back() -> None:
    """And finds room when another has ended."""
    calls = OpenCalls(2, 0)
    with calls.one("a"):
        with calls.one("a"), pytest.raises(Overloaded) as caught, calls.one("b"):
            pass
        assert caught.value.retry_delay_s
        with calls.one("b"):
            assert len(calls) == 2


def test_one_caller_leaves_room_for_others() -> None:
    """Its own bound comes first."""
    calls = OpenCalls(10, 1)
    with calls.one("a"), calls.one("b"), pytest.raises(Overloaded), calls.one("a"):
        pass


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 6), st.integers(1, 3))
def test_neither_bound_is_ever_passed_and_nothing_is_left(callers: list[str], most: int, each: int) -> None:
    """Whoever comes, in whatever order."""
    calls = OpenCalls(most, each)
    with ExitStack() as stack:
        admitted: Counter[str] = Counter()
        for caller in callers:
            full = admitted.total() >= most or admitted[caller] >= each
            try:
                stack.enter_context(calls.one(caller))
            except Overloaded:
                assert full
            else:
                assert not full
                admitted[caller] += 1
    assert len(calls) == 0
    with calls.one("a"):
        pass
