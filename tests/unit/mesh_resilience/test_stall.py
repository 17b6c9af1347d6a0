"""A process that slept takes the time that it slept itself for no evidence."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh_resilience.virtual_time import ManualClock

from trunkline_mesh.breaker import Breaker, BreakerState
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable
from trunkline_mesh.hold_time import INITIAL_HOLD_S, HoldTime
from trunkline_mesh.stall import AFTERMATH_S, STALL_S, TICK_S, StallDetector


class Ticking:
    """A detector whose loop ticks as time passes, and a breaker that asks it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.stalls = StallDetector(self.clock)
        self.stalls.begin()
        self.breaker = Breaker("dep/region/Method", REGION_POLICY, clock=self.clock, stalls=self.stalls)

    def run(self, seconds: float) -> None:
        """Let time pass with a loop that runs."""
        while seconds > 0:
            self.clock.advance(min(TICK_S, seconds))
            self.stalls.tick()
            seconds -= TICK_S

    def sleep(self, seconds: float) -> None:
        """Let time pass while the process is stopped."""
        self.clock.advance(seconds)

    async def call(self, *, asleep_s: float = 0.0, awake_s: float = 0.0, error: Exception | None = None) -> None:
        async def func() -> None:
            self.run(awake_s)
            self.sleep(asleep_s)
            if error is not None:
                raise error

        if error is None:
            await self.breaker.call(func)
        else:
            with pytest.raises(type(error)):
                await self.breaker.call(func)

    def state(self) -> BreakerState:
        return self.breaker.state

    async def open_it(self) -> None:
        while self.breaker.state is BreakerState.CLOSED:
            await self.call(error=BackendUnavailable())
        self.run(self.breaker.open_remaining + TICK_S)


@given(st.floats(min_value=0, max_value=STALL_S), st.integers(1, 20))
def test_a_loop_that_runs_excuses_nothing(late_s: float, ticks: int) -> None:
    """Up to a second late is busy, not asleep."""
    ticking = Ticking()
    started_s = ticking.clock()
    for _ in range(ticks):
        ticking.clock.advance(late_s)
        ticking.stalls.tick()
    assert not ticking.stalls.excuses(started_s)


def test_a_stall_excuses_what_it_overlaps_and_what_begins_soon_after() -> None:
    """And nothing that begins later."""
    ticking = Ticking()
    started_s = ticking.clock()
    ticking.sleep(STALL_S + 2 * TICK_S)
    assert ticking.stalls.excuses(started_s), "also before the loop had time to tick"
    assert ticking.stalls.excuses(ticking.clock())
    ticking.run(AFTERMATH_S + TICK_S)
    assert ticking.stalls.excuses(started_s), "it overlapped, however late it ends"
    assert not ticking.stalls.excuses(ticking.clock())


def test_without_a_loop_that_ticks_nothing_is_excused() -> None:
    """Silence means something only of who promised to speak."""
    clock = ManualClock()
    stalls = StallDetector(clock)
    clock.advance(60)
    assert not stalls.excuses(1000.0)
    stalls.begin()
    stalls.begin()
    stalls.end()
    stalls.tick()
    stalls.end()
    clock.advance(60)
    assert not stalls.excuses(1060.0)


@pytest.mark.parametrize("error", [None, BackendTimeout(), BackendUnavailable(), TimeoutError()], ids=repr)
async def test_failures_during_a_stall_open_nothing(error: Exception | None) -> None:
    """Slow calls, timeouts and lost connections of a router that was stopped for a minute."""
    ticking = Ticking()
    for _ in range(40):
        await ticking.call(asleep_s=60, error=error)
        ticking.run(TICK_S)
    assert ticking.state() is BreakerState.CLOSED


async def test_the_same_failures_without_a_stall_open_it() -> None:
    """The detector hides nothing else."""
    ticking = Ticking()
    for _ in range(5):
        await ticking.call(awake_s=3)
    assert ticking.state() is BreakerState.OPEN


async def test_a_probe_that_slept_neither_fails_nor_passes() -> None:
    """Half-open it stays, and the next call is the next probe."""
    ticking = Ticking()
    await ticking.open_it()
    await ticking.call(asleep_s=60, error=BackendTimeout())
    assert ticking.state() is BreakerState.HALF_OPEN
    for _ in range(REGION_POLICY.probes):
        await ticking.call()
    assert ticking.state() is BreakerState.CLOSED


async def test_a_probe_that_is_still_out_after_a_stall_makes_room_for_another() -> None:
    """Its lateness is ours. What it says in the end is of the past."""
    ticking = Ticking()
    await ticking.open_it()
    release = asyncio.Event()

    async def held() -> None:
        await release.wait()
        raise BackendUnavailable

    probe = asyncio.ensure_future(ticking.breaker.call(held))
    await asyncio.sleep(0)
    ticking.sleep(60)
    await ticking.call()
    assert ticking.state() is BreakerState.HALF_OPEN
    release.set()
    with pytest.raises(BackendUnavailable):
        await probe
    assert ticking.state() is BreakerState.HALF_OPEN
    for _ in range(REGION_POLICY.probes - 1):
        await ticking.call()
    assert ticking.state() is BreakerState.CLOSED


@pytest.mark.parametrize(("asleep", "expected_s"), [(True, INITIAL_HOLD_S), (False, INITIAL_HOLD_S + 6.0)])
def test_a_limiter_does_not_learn_from_sleep_how_long_calls_take(*, asleep: bool, expected_s: float) -> None:
    """Else a process that was stopped for a minute would refuse everybody who has to wait, for a while."""
    ticking = Ticking()
    hold = HoldTime(ticking.clock)
    hold._stalls = ticking.stalls  # type: ignore[misc]  # final for everybody else; a manual clock has no stalls
    if asleep:
        ticking.sleep(60)
    else:
        ticking.run(60)
    assert hold.learn(60) is not asleep
    assert hold.mean_s == pytest.approx(expected_s, rel=0.01)
