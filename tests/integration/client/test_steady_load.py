"""Callers with a deadline of two seconds, while their nearest region dies, freezes, slows down or drains."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from tests.integration.client.fake_router import FakeRouter, running
from tests.integration.client.router_process import RouterProcess, router_processes

from trunkline_client import SearchResult, TrunklineClient, TrunklineError

_DEADLINE_S = 2.0
_EVERY_S = 0.05


@dataclass
class Load:
    """A search every 50 ms, whatever became of the ones before."""

    client: TrunklineClient
    answers: list[tuple[float, SearchResult]] = field(default_factory=list)
    """When each was asked, by the monotonic clock, and its result."""
    errors: list[TrunklineError] = field(default_factory=list)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self, until: Callable[[], Awaitable[object]]) -> None:
        """Ask until `until` returns; every call begun is waited for."""
        async with asyncio.TaskGroup() as calls:
            steady = calls.create_task(self._forever(calls))
            await until()
            steady.cancel()

    async def until_answered_by(self, region: str, within_s: float) -> float:
        """Wait until a call that is asked from now on is answered there; return the seconds that took."""
        began_s = time.monotonic()
        async with asyncio.timeout(within_s):
            while not any(at_s >= began_s and found.router.region == region for at_s, found in reversed(self.answers)):
                self._answered.clear()
                await self._answered.wait()
        return time.monotonic() - began_s

    async def _forever(self, calls: asyncio.TaskGroup) -> None:
        while True:
            calls.create_task(self._ask())
            await asyncio.sleep(_EVERY_S)

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        try:
            self.answers.append((asked_s, await self.client.search("text", deadline_s=_DEADLINE_S)))
        except TrunklineError as error:
            self.errors.append(error)
        self._answered.set()

    def tried_more_than_one(self, since_s: float) -> int:
        """Return how many calls asked since then needed more than their first attempt."""
        return sum(len(found.attempts) > 1 for at_s, found in self.answers if at_s >= since_s)

    def regions(self, since_s: float) -> Counter[str]:
        """Return who answered what was asked since then."""
        return Counter(found.router.region for at_s, found in self.answers if at_s >= since_s)


@asynccontextmanager
async def near_and_far(count: int = 1) -> AsyncIterator[tuple[Load, Sequence[RouterProcess], FakeRouter]]:
    """Run routers of the near region in processes, one of the far region here, and a client that has asked for a while.

    It has, because repeats are a fifth of the last ten seconds' calls.
    """
    async with (
        running("far") as (far,),
        router_processes(*["near"] * count) as near,
        TrunklineClient([*(each.address for each in near), far.address], token="jwt") as client,
    ):
        for _ in range(200):
            assert (await client.search("text", deadline_s=10.0)).router.region == "near"
        yield Load(client), near, far


@pytest.mark.parametrize(("fault", "count"), [("kill", 3), ("pause", 1), ("pause", 3), ("slow", 1)])
async def test_no_call_fails_when_the_nearest_region_does(fault: str, count: int) -> None:
    """The far region answers in time, soon at the first attempt, and the near one is used again once it is back."""
    async with near_and_far(count) as (load, near, _):

        async def story() -> None:
            await load.until_answered_by("near", 30)
            await _break(fault, near)
            first_good_s = await load.until_answered_by("far", 30)
            await asyncio.sleep(1.0)
            settled_s = time.monotonic()
            await asyncio.sleep(1.5)
            answered = load.regions(settled_s)
            assert set(answered) == {"far"}
            # Health checks look whether it is back. Only where these are quick, as here in the slow one, one call at a
            # time has to find out, after ever longer rests.
            assert load.tried_more_than_one(settled_s) <= answered.total() // 10
            await _mend(fault, near)
            back_s = await load.until_answered_by("near", 35)
            print(f"{fault} {count}: first good {first_good_s:.2f} s, back in use {back_s:.2f} s")  # pytest -s shows it

        await load.run(story)
        assert load.errors == []


async def test_a_draining_region_is_left_without_an_error_or_a_repeat() -> None:
    """Traffic moves with the first answer that says so, what is under way is finished, and it returns afterwards."""
    async with near_and_far() as (load, (near,), far):

        async def story() -> None:
            await near.order("delay 0.3")
            await load.until_answered_by("near", 30)
            await near.order("drain")
            await load.until_answered_by("far", 30)
            settled_s = time.monotonic()
            await asyncio.sleep(0.5)
            assert set(load.regions(settled_s)) == {"far"}
            far.drain(on=True)
            await load.until_answered_by("near", 30)
            await near.order("serve")
            far.drain(on=False)
            await near.order("delay 0")
            await load.until_answered_by("near", 30)

        await load.run(story)
        assert load.errors == []
        assert load.tried_more_than_one(0.0) == 0


async def _break(fault: str, routers: Sequence[RouterProcess]) -> None:
    for router in routers:
        match fault:
            case "kill":
                await router.kill()
            case "pause":
                router.pause()
            case "slow":
                await router.order("delay 3")


async def _mend(fault: str, routers: Sequence[RouterProcess]) -> None:
    for router in routers:
        match fault:
            case "kill":
                await router.start()
            case "pause":
                router.resume()
            case "slow":
                await router.order("delay 0")
