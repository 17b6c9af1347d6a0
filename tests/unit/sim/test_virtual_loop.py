"""The loop in virtual time: order, jumps, and what cannot go on."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.sim.loop import Deadlocked, VirtualLoop
from tests.sim.virtual_deadline import VirtualDeadline

from trunkline_mesh.errors import DeadlineExceeded


def run(loop: VirtualLoop, main: object) -> object:
    try:
        return loop.run_until_complete(main)  # type: ignore[arg-type]  # a coroutine of any result
    finally:
        loop.close()


def test_a_day_passes_at_once() -> None:
    """Sleeping for a day takes a day of the loop's time and next to none of ours."""
    loop = VirtualLoop()
    began_s = time.perf_counter()
    run(loop, asyncio.sleep(86_400))
    assert loop.time() == pytest.approx(86_400)
    assert time.perf_counter() - began_s < 60


def test_timers_run_in_the_order_of_their_times_and_then_of_their_making() -> None:
    """Two timers of one instant run in the order in which they were set."""
    loop = VirtualLoop(5.0)
    seen: list[str] = []

    async def main() -> None:
        for name, at_s in (("c", 9.0), ("a", 7.0), ("b", 7.0)):
            loop.call_at(at_s, seen.append, name)
        await loop.sleep(10)

    run(loop, main())
    assert seen == ["a", "b", "c"]
    assert loop.time() == 15.0


def test_a_cancelled_timer_does_not_run() -> None:
    """Timers that were cancelled are passed over, however many there are."""
    loop = VirtualLoop()
    seen: list[int] = []

    async def main() -> None:
        for number in range(25_000):
            loop.call_later(1.0, seen.append, number).cancel()
        await loop.sleep(2)
        for number in range(25_000):
            loop.call_later(1.0, seen.append, number).cancel()
        await asyncio.sleep(2)

    run(loop, main())
    assert seen == []


def test_a_cancelled_callback_of_this_instant_does_not_run() -> None:
    """A handle of `call_soon` can be cancelled until its turn comes."""
    loop, seen = VirtualLoop(), list[str]()

    async def main() -> None:
        loop.call_soon(seen.append, "first")
        loop.call_soon(seen.append, "never").cancel()
        await loop.sleep(1)

    run(loop, main())
    assert seen == ["first"]


def test_a_callback_that_raises_ends_the_run() -> None:
    """A simulation does not go on with something left undone."""
    loop = VirtualLoop()

    def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        loop.call_later(1.0, fail)
        await loop.sleep(2)

    with pytest.raises(ZeroDivisionError):
        run(loop, main())


def test_a_wait_for_nothing_is_told() -> None:
    """A run in which nothing can happen any more raises instead of hanging."""
    loop = VirtualLoop()
    with pytest.raises(Deadlocked):
        run(loop, asyncio.Event().wait())


def test_arrivals_come_at_their_times_among_timers() -> None:
    """Fed times and timers happen in one order, and the feed ends with its last arrival."""
    loop = VirtualLoop()
    seen: list[tuple[object, float]] = []

    async def main() -> None:
        loop.call_at(1.5, lambda: seen.append(("timer", loop.time())))
        await loop.feed([1.0, 1.0, 2.0], lambda number: seen.append((number, loop.time())))
        await loop.feed([], lambda number: seen.append((number, loop.time())))
        seen.append(("end", loop.time()))

    run(loop, main())
    assert seen == [(0, 1.0), (1, 1.0), ("timer", 1.5), (2, 2.0), ("end", 2.0)]


def test_before_the_clock_moves_everything_of_the_instant_is_done() -> None:
    """The hook sees each instant once all of its callbacks have run."""
    loop, open_now, seen = VirtualLoop(), [], []

    async def work() -> None:
        open_now.append(1)
        await asyncio.sleep(0)
        open_now.pop()

    async def main() -> None:
        loop.before_jump = lambda: seen.append(len(open_now))
        await asyncio.gather(work(), work())
        await loop.sleep(1)

    run(loop, main())
    assert set(seen) == {0}


def test_a_virtual_deadline_shrinks_with_the_loop() -> None:
    """Remaining time, expiry and floors are those of the loop's clock."""
    loop = VirtualLoop()
    deadline = VirtualDeadline(10.0, loop)

    async def main() -> None:
        await loop.sleep(4)
        assert deadline.remaining_s() == pytest.approx(6)
        assert deadline.within(1.0).at_s == pytest.approx(5)
        await loop.sleep(7)

    run(loop, main())
    assert deadline.expired()
    assert deadline.remaining_s() == 0.0
    with pytest.raises(DeadlineExceeded):
        deadline.require()
