"""What is known of regions: silence, overload, pressure, ramps and distance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.entries import RegionEntry
from trunkline_routing.edge.distance import LAST, NEAREST_S, STEP, Distance
from trunkline_routing.edge.left_alone import AWAY_JITTER, AWAY_MAX_S, AWAY_S, MAX_MARKS
from trunkline_routing.edge.ramps import RAMP_FLOOR
from trunkline_routing.edge.region_view import (
    HIGH_PRESSURE,
    PRESSURE_AGE_S,
    RegionView,
)

A = maps.region("a", "eu")


class Clocks:
    """Two clocks that go on when told: the process's own and the wall's, which may also jump."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.wall_s = 1_700_000_000.0

    def go(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds


def made(rng: float = 0.5) -> tuple[RegionView, Clocks]:
    clocks = Clocks()
    return RegionView(clock=lambda: clocks.now_s, wall_clock=lambda: clocks.wall_s, rng=lambda: rng), clocks


def skip(view: RegionView, region: RegionEntry = A, *, moved: bool = False, draw: float = 0.0) -> str:
    outcome = view.soft_skip(region, moved=moved, draw=draw)
    return trail_pb.AttemptOutcome.Name(outcome).removeprefix("ATTEMPT_OUTCOME_")


def test_an_unknown_region_is_used() -> None:
    """Nothing is known against it."""
    view, _ = made()
    assert skip(view, moved=True) == "UNSPECIFIED"
    assert (view.pressure("a"), view.round_trip_s("a"), view.tier("a"), view.is_out("a")) == (None, None, None, False)


def test_two_misses_are_silence_and_one_answer_ends_it() -> None:
    """One check may be lost to a busy machine."""
    view, _ = made()
    view.answered("a", serving=True)
    view.missed("a")
    assert skip(view) == "UNSPECIFIED"
    view.missed("a")
    assert skip(view) == "SKIPPED_HEALTH"
    view.answered("a", serving=True)
    assert skip(view) == "UNSPECIFIED"
    view.missed("a")
    assert skip(view) == "UNSPECIFIED", "the count began anew"


def test_a_broken_stream_and_not_serving_count_at_once() -> None:
    """Until an answer says otherwise."""
    view, _ = made()
    view.broke("a")
    assert view.is_out("a")
    view.answered("a", serving=False)
    assert view.is_out("a")
    view.answered("a", serving=True)
    assert not view.is_out("a")


def test_overload_is_left_alone_for_as_long_as_asked() -> None:
    """For the tenant that was refused, and for nobody else: a flood by one moves nobody else's traffic."""
    view, clocks = made()
    view.overloaded("retrieval", "a", "acme", 0.5)
    assert view.is_away("retrieval", "a", "acme")
    assert not view.is_away("retrieval", "a", "globex")
    assert not view.is_away("rerank", "a", "acme")
    clocks.go(0.51)
    assert not view.is_away("retrieval", "a", "acme")


def test_a_draining_server_is_left_alone_by_everybody() -> None:
    """An empty tenant stands for all."""
    view, _ = made()
    view.overloaded("retrieval", "a", "", None)
    assert view.is_away("retrieval", "a", "acme")


@given(delay_s=st.none() | st.floats(0, 1e6, allow_nan=False), rng=st.floats(0, 0.999))
def test_how_long_is_bounded_and_jittered(delay_s: float | None, rng: float) -> None:
    """Whatever a region says; about a second where it says nothing."""
    view, clocks = made(rng)
    view.overloaded("retrieval", "a", "", delay_s)
    clocks.go(AWAY_MAX_S * (1 + AWAY_JITTER) + 0.001)
    assert not view.is_away("retrieval", "a", "")
    view.overloaded("retrieval", "a", "", None)
    clocks.go(AWAY_S * (1 - AWAY_JITTER) - 0.001)
    assert view.is_away("retrieval", "a", "")


def test_overload_marks_are_bounded() -> None:
    """However many tenants are refused."""
    view, _ = made()
    for number in range(MAX_MARKS + 10):
        view.overloaded("retrieval", "a", f"t{number}", 1.0)
    assert not view.is_away("retrieval", "a", "t0")
    assert view.is_away("retrieval", "a", f"t{MAX_MARKS + 9}")


def test_a_region_near_its_capacity_takes_no_moved_traffic() -> None:
    """Its own it takes; an old report says nothing."""
    view, clocks = made()
    view.pressed("a", HIGH_PRESSURE)
    assert skip(view, moved=True) == "SKIPPED_PRESSURE"
    assert skip(view, moved=False) == "UNSPECIFIED"
    view.pressed("a", None)
    assert view.pressure("a") == HIGH_PRESSURE, "no report takes nothing back"
    clocks.go(PRESSURE_AGE_S + 0.1)
    assert skip(view, moved=True) == "UNSPECIFIED"
    assert view.pressure("a") is None
    view.pressed("a", HIGH_PRESSURE - 0.01)
    assert skip(view, moved=True) == "UNSPECIFIED"


def test_pressure_is_read_now_and_then() -> None:
    """Reading it from every answer would cost every call."""
    view, clocks = made()
    assert view.wants_pressure("a")
    view.pressed("a", 0.1)
    assert not view.wants_pressure("a")
    clocks.go(0.26)
    assert view.wants_pressure("a")


def ramping(clocks: Clocks, *, began_before_s: float = 0.0, ramp_s: float = 100.0) -> RegionEntry:
    return replace(A, serving_since_s=clocks.wall_s - began_before_s, ramp_s=ramp_s)


def test_a_share_grows_from_five_percent_to_all() -> None:
    """Linearly over the ramp."""
    view, clocks = made()
    region = ramping(clocks)
    shares = []
    for _ in range(6):
        shares.append(view.share(region))
        clocks.go(20.0)
    assert shares == pytest.approx([0.05, 0.24, 0.43, 0.62, 0.81, 1.0])
    assert skip(view, region, draw=0.999) == "UNSPECIFIED"


def test_a_lot_above_the_share_goes_elsewhere() -> None:
    """And one below it stays."""
    view, clocks = made()
    assert skip(view, ramping(clocks), draw=RAMP_FLOOR) == "SKIPPED_RAMP"
    assert skip(view, ramping(clocks), draw=RAMP_FLOOR - 0.001) == "UNSPECIFIED"


def test_a_router_that_starts_later_joins_the_ramp() -> None:
    """By the wall clock, as far as that says more."""
    view, clocks = made()
    assert view.share(ramping(clocks, began_before_s=50.0)) == pytest.approx(0.525)


@given(jump_s=st.floats(-1e9, 1e9), at_s=st.floats(0, 100))
def test_a_jump_of_the_wall_clock_changes_nothing(jump_s: float, at_s: float) -> None:
    """It is asked once; from then on the process's own clock counts."""
    view, clocks = made()
    region = ramping(clocks)
    view.share(region)
    clocks.go(at_s)
    before = view.share(region)
    clocks.wall_s += jump_s
    assert view.share(region) == before


def test_a_wall_clock_that_is_behind_starts_the_ramp_at_its_beginning() -> None:
    """And it still ends."""
    view, clocks = made()
    region = ramping(clocks, began_before_s=-500.0)
    assert view.share(region) == RAMP_FLOOR
    clocks.go(100.0)
    assert view.share(region) == 1.0


def test_a_second_undrain_is_a_ramp_of_its_own() -> None:
    """Told by when the region began to serve, not by other changes of its entry."""
    view, clocks = made()
    region = ramping(clocks)
    view.share(region)
    clocks.go(100.0)
    assert view.share(replace(region, revision=99)) == 1.0
    assert view.share(replace(region, serving_since_s=clocks.wall_s)) == RAMP_FLOOR


def test_regions_that_left_are_forgotten() -> None:
    """Nothing would renew what is known of them."""
    view, _ = made()
    view.broke("a")
    view.broke("b")
    view.forget_others(["b"])
    assert (view.is_out("a"), view.is_out("b")) == (False, True)


def test_the_first_round_trip_is_not_counted() -> None:
    """It also made the connection."""
    view, _ = made()
    view.answered("a", serving=True, took_s=5.0)
    assert view.round_trip_s("a") is None
    view.answered("a", serving=True, took_s=0.010)
    assert view.round_trip_s("a") == pytest.approx(0.010)


@given(
    base_s=st.floats(0.001, 1.0),
    noise=st.lists(st.floats(0, 0.14) | st.floats(0, 100), min_size=1, max_size=50),
)
def test_noise_does_not_change_how_far_a_region_is(base_s: float, noise: list[float]) -> None:
    """Busy machines only make round trips longer; while one of the last few is not, a region stays where it was."""
    distance = Distance(base_s)
    first = distance.tier
    for number, part in enumerate(noise):
        distance.add(base_s * (1 + (part if number % LAST else min(part, 0.14))))
        assert distance.tier == first


def test_a_clear_change_is_followed() -> None:
    """Within as many measurements as are kept, both ways; the mean follows more slowly."""
    distance = Distance(NEAREST_S)
    for _ in range(LAST):
        distance.add(NEAREST_S * STEP**4)
    assert distance.tier >= 4
    assert NEAREST_S < distance.mean_s < NEAREST_S * STEP**4
    distance.add(NEAREST_S / 2)
    assert distance.tier == 0
