"""A region is lost while queries run, by kill and by freezing; callers of the client library notice nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

import pytest
from tests.e2e import world
from tests.e2e.place import LONG_S, Place, undisturbed, until

from trunkline_client import (
    ResidencyRefused,
    SearchResult,
    TrunklineClient,
    TrunklineError,
    Unavailable,
)

MORE = 40
"""Answers that are waited for before and after each disturbance."""


@dataclass
class Traffic:
    """Searches without a pause over one client, and what came of them."""

    client: TrunklineClient
    answers: list[SearchResult] = field(default_factory=list)
    errors: list[TrunklineError] = field(default_factory=list)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            try:
                self.answers.append(
                    await self.client.search("Which debugger is there?", collections=["debugging"], deadline_s=LONG_S)
                )
            except TrunklineError as exc:
                self.errors.append(exc)

    async def more(self, count: int = MORE) -> list[SearchResult]:
        """Wait for so many further answers and return them; fails at the first error."""
        seen = len(self.answers)
        await until(self._count, lambda answered: bool(self.errors) or answered >= seen + count)
        assert self.errors == []
        return self.answers[seen:]

    async def _count(self) -> int:
        return len(self.answers)


@asynccontextmanager
async def _traffic(client: TrunklineClient) -> AsyncIterator[Traffic]:
    traffic = Traffic(client)
    running = [asyncio.create_task(traffic.run()) for _ in range(2)]
    try:
        yield traffic
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _outcomes(result: SearchResult) -> dict[str, str]:
    return {each.region: each.outcome for each in result.trail.collections[0].attempts}


def _at_home(result: SearchResult, region: str) -> bool:
    """Tell whether a region's router answered from its own region's documents."""
    return result.router.region == region and {hit.region for hit in result.hits} == {region}


async def test_a_region_is_killed_and_comes_back(place: Place) -> None:
    """{eu, us} goes on without an error, {eu} alone is refused, never served elsewhere; the region is used again."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        everywhere = await enter(place.client(world.EU, world.US, world.ASIA))
        asia = await enter(place.client(world.ASIA))
        traffic = await enter(_traffic(await enter(place.client(world.EU, world.US, world.ASIA))))
        records = partial(everywhere.search, "invoices", collections=["records"], deadline_s=LONG_S)
        globe = partial(asia.search, "islands of the planet", collections=["world"], deadline_s=LONG_S)
        assert {result.router.region for result in await traffic.more()} == {world.EU}
        assert (await undisturbed(globe)).trail.collections[0].served_region == world.EU

        await place.stack.kill_region(world.EU)
        during = await traffic.more()
        with pytest.raises(ResidencyRefused) as refused:
            await records()
        with pytest.raises(ResidencyRefused) as nowhere:
            await asia.search("mountains", collections=["single"], deadline_s=LONG_S)
        moved = await globe()
        with pytest.raises(Unavailable) as incomplete:
            await everywhere.upsert("debugging", [world.DOCUMENTS["debugging"][0]], deadline_s=LONG_S)
        await traffic.more()

        await place.stack.start_region(world.EU)
        assert await place.stack.wait_serving(world.EU, within_s=60.0)
        back = await until(records, lambda result: bool(result.hits))
        await until(partial(traffic.more, 1), lambda answers: _at_home(answers[-1], world.EU))
        assert traffic.errors == []

    assert during[-1].router.region == world.US
    assert {hit.region for result in during[-5:] for hit in result.hits} == {world.US}
    assert refused.value.reason == "RESIDENCY_ROUTER_OUTSIDE"
    assert refused.value.metadata["allowedEndpoints"] == place.endpoint(world.EU)
    assert nowhere.value.reason == "NO_ALLOWED_REGION"
    assert _outcomes(moved)[world.US] == "SERVED"
    assert _outcomes(moved)[world.EU] in ("FAILED", "SKIPPED_HEALTH", "SKIPPED_BREAKER")
    assert ("SERVED_FROM_OTHER_REGION", "world") in {(each.reason, each.subject) for each in moved.trail.degradations}
    assert incomplete.value.reason == "WRITE_INCOMPLETE"
    assert incomplete.value.metadata["failedRegions"] == world.EU
    assert back.hits[0].document_id == "ledger"  # what was acknowledged before the kill


async def test_a_region_is_frozen_and_goes_on(place: Place) -> None:
    """A region whose connections stay open and that answers nothing costs its callers time and no error."""
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        traffic = await enter(_traffic(await enter(place.client(world.US, world.EU, world.ASIA))))
        assert {result.router.region for result in await traffic.more()} == {world.US}
        place.stack.pause_region(world.US)
        try:
            during = await traffic.more()
        finally:
            place.stack.resume_region(world.US)
        await until(partial(traffic.more, 1), lambda answers: _at_home(answers[-1], world.US))
        assert traffic.errors == []
    assert {hit.region for result in during[-5:] for hit in result.hits} == {world.EU}
