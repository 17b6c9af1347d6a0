"""Equal questions under way are answered by one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from trunkline_inference.single_flight import SingleFlight
from trunkline_mesh.errors import BackendUnavailable, DeadlineExceeded


class Work:
    """A computation that can be held, made to fail, and counted."""

    def __init__(self, failure: Exception | None = None, *, held: bool = True) -> None:
        self.go = asyncio.Event()
        if not held:
            self.go.set()
        self.failure = failure
        self.asked: list[list[str]] = []
        self.cancelled = 0

    async def __call__(self, keys: Sequence[str]) -> Mapping[str, str]:
        self.asked.append(list(keys))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return {key: key.upper() for key in keys}


async def settle() -> None:
    """Let every task run that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_equal_keys_are_computed_once() -> None:
    """Callers that want overlapping keys share what is under way and add the rest."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    first = asyncio.ensure_future(flights.get(["a", "b"], work))
    await settle()
    second = asyncio.ensure_future(flights.get(["b", "c", "b"], work))
    await settle()
    work.go.set()

    assert await first == {"a": "A", "b": "B"}
    assert await second == {"b": "B", "c": "C"}
    assert work.asked == [["a", "b"], ["c"]]
    assert len(flights) == 0


async def test_a_cancelled_caller_takes_nobody_with_it() -> None:
    """The one that started the computation leaves; the one that joined gets the answer."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    first = asyncio.ensure_future(flights.get(["a"], work))
    await settle()
    second = asyncio.ensure_future(flights.get(["a"], work))
    await settle()
    first.cancel()
    await settle()
    work.go.set()

    assert await second == {"a": "A"}
    assert first.cancelled()
    assert work.cancelled == 0


async def test_the_last_caller_to_leave_cancels_the_work() -> None:
    """Work that nobody waits for ends, and the next caller starts afresh at once."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    callers = [asyncio.ensure_future(flights.get(["a"], work)) for _ in range(3)]
    await settle()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)

    fresh = Work(held=False)
    assert await flights.get(["a"], fresh) == {"a": "A"}
    await settle()
    assert work.cancelled == 1
    assert len(flights) == 0


async def test_a_failure_reaches_everybody_and_is_not_kept() -> None:
    """All who waited get it; the next one asks again."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work(BackendUnavailable())
    callers = [asyncio.ensure_future(flights.get(["a"], work)) for _ in range(2)]
    await settle()
    work.go.set()
    outcomes = await asyncio.gather(*callers, return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [BackendUnavailable, BackendUnavailable]
    assert work.asked == [["a"]]
    assert await flights.get(["a"], Work(held=False)) == {"a": "A"}


async def test_somebody_elses_short_deadline_is_not_mine() -> None:
    """The computation expires under the deadline of who started it; who joined computes for itself."""
    flights: SingleFlight[str, str] = SingleFlight()
    hasty, patient = Work(DeadlineExceeded()), Work(held=False)
    first = asyncio.ensure_future(flights.get(["a", "b"], hasty))
    await settle()
    second = asyncio.ensure_future(flights.get(["b"], patient))
    await settle()
    hasty.go.set()

    with pytest.raises(DeadlineExceeded):
        await first
    assert await second == {"b": "B"}
    assert patient.asked == [["b"]]


async def test_closing_cancels_what_is_under_way() -> None:
    """No computation outlives its owner."""
    flights: SingleFlight[str, str] = SingleFlight()
    work = Work()
    caller = asyncio.ensure_future(flights.get(["a"], work))
    await settle()
    await flights.aclose()

    assert work.cancelled == 1
    with pytest.raises(asyncio.CancelledError):
        await caller
