"""A rolling window against the plain list of its events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.rolling_window import RollingWindow

EVENTS = st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans()), max_size=200)


@given(EVENTS)
def test_counts_lie_between_the_two_edges_of_the_window(events: list[tuple[float, bool]]) -> None:
    """Everything younger than the window less one slot is counted, nothing older than the window is."""
    window = RollingWindow(10.0, slots=20)
    now_s, seen = 100.0, list[tuple[float, bool]]()
    for gap_s, mark in events:
        now_s += gap_s
        seen.append((now_s, mark))
        window.add(now_s, mark=mark)
        young = [m for at_s, m in seen if at_s > now_s - 9.5 + 1e-6]
        within = [m for at_s, m in seen if at_s > now_s - 10.0 - 1e-6]
        assert len(young) <= window.total <= len(within)
        assert sum(young) <= window.marked <= sum(within)


@given(st.floats(10.0, 1e6))
def test_a_quiet_window_is_empty(quiet_s: float) -> None:
    """However long nothing happened."""
    window = RollingWindow(10.0)
    for offset in range(5):
        window.add(100.0 + offset, mark=True)
    window.advance(104.0 + quiet_s)
    assert (window.total, window.marked) == (0, 0)


def test_a_clock_that_steps_back_loses_nothing() -> None:
    """An event before the newest one counts at the newest one's time."""
    window = RollingWindow(10.0)
    window.add(100.0, mark=True)
    window.add(50.0, mark=True)
    assert window.total == 2


@pytest.mark.parametrize(("window_s", "slots"), [(0.0, 10), (-1.0, 10), (10.0, 1)])
def test_a_window_that_covers_nothing_is_refused(window_s: float, slots: int) -> None:
    """A window needs a length and at least two slots."""
    with pytest.raises(ValueError, match="covers nothing"):
        RollingWindow(window_s, slots=slots)
