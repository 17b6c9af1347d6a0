"""What servers say of themselves with each answer, and what callers make of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_mesh.app import never
from trunkline_mesh.trailers import MAX_PRESSURE, AnswerTrailers, PeerState, peer_state


class Context:
    """The part of a servicer context that holds trailing metadata."""

    def __init__(self, own: tuple[Any, ...] | None = None) -> None:
        self.trailing = own

    def trailing_metadata(self) -> tuple[Any, ...] | None:
        return self.trailing

    def set_trailing_metadata(self, metadata: tuple[Any, ...]) -> None:
        self.trailing = metadata


@given(st.floats(min_value=0, max_value=1e9), st.booleans())
def test_what_is_told_is_what_is_heard(pressure: float, draining: bool) -> None:
    """To two decimals, and ten at most."""
    told = AnswerTrailers(lambda: pressure, lambda: draining).now()
    heard = peer_state(told)
    assert heard.pressure == pytest.approx(min(pressure, MAX_PRESSURE), abs=0.00501)
    assert heard.draining is draining
    assert heard.is_told


@given(st.lists(st.tuples(st.sampled_from(["trunkline-pressure", "trunkline-draining", "x"]), st.text() | st.binary())))
def test_no_metadata_breaks_a_caller(metadata: list[tuple[str, str | bytes]]) -> None:
    """Whatever a peer or a proxy sends, the pressure is a number of 0 to 10, or none."""
    pressure = peer_state(metadata).pressure
    assert pressure is None or 0 <= pressure <= MAX_PRESSURE


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "", "high", "0" * 17, b"0.5"])
def test_what_is_no_pressure_is_not_told(text: str | bytes) -> None:
    """A peer of another version, or none of ours."""
    assert not peer_state([("trunkline-pressure", text)]).is_told


def test_nothing_said_is_nothing_heard() -> None:
    """Transport errors carry no metadata at all."""
    assert peer_state(None) == peer_state(()) == PeerState(None, draining=False)


def test_a_handlers_own_metadata_stays() -> None:
    """Ours is added behind it."""
    context = Context((("own", "1"),))
    AnswerTrailers(lambda: 0.5, never).leave_on(context)
    assert context.trailing == (("own", "1"), ("trunkline-pressure", "0.50"))
