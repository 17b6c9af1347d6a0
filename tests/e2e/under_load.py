"""A region is killed and frozen while callers of three tenants ask by a schedule that waits for nobody."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from tests.chaos.load_answer import Answer
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec, Question, Stream
from tests.e2e import world
from tests.e2e.place import Place

DEADLINE_S = 6.0
"""For every search; one attempt's share of it is half, so that a busy machine decides nothing."""
FROZEN_S = 4.0
RPS = 4.0
"""Of each caller."""
SEED = 20
VICTIM = world.US

STEPPING = Question(name="pdb", text="set a breakpoint, step through lines", collections=("debugging",), top="pdb")
TABLES = Question(name="csv", text="tables as comma separated values", collections=("formats",), top="csv")
ISLANDS = Question(name="globe", text="oceans, continents and islands", collections=("world",), top="globe")
LAIR = Question(name="lair", text="the elevator of the lair", collections=("notes",), top="secret-plan")


def _stream(place: Place, tenant: str, near: str, regions: tuple[str, ...], *questions: Question) -> Stream:
    order = [near, *(region for region in regions if region != near)]
    return Stream(
        name=f"{tenant}-{near}",
        tenant=tenant,
        token=place.token(tenant),
        routers=tuple(f"{region}={place.endpoint(region)}" for region in order),
        rps=RPS,
        questions=questions,
        regions=frozenset(regions),
    )


def _spec(place: Place) -> LoadSpec:
    streams = (
        _stream(place, world.ACME, VICTIM, (world.US, world.EU), STEPPING),
        _stream(place, world.ACME, world.EU, (world.EU, world.US), STEPPING, ISLANDS),
        _stream(place, world.ACME, world.ASIA, world.REGIONS, TABLES, ISLANDS),
        _stream(place, world.GLOBEX, world.EU, (world.EU,), LAIR),
    )
    return LoadSpec(streams=streams, seed=SEED, deadline_s=DEADLINE_S, arrivals="regular")


def _by_the_victim(answer: Answer) -> bool:
    return answer.good and answer.met(VICTIM)


def _elsewhere(near: str, answer: Answer) -> bool:
    return answer.good and answer.stream.endswith(near) and not answer.met(VICTIM)


@pytest.mark.timeout(240)
async def test_callers_under_load_notice_neither_kill_nor_freeze(place: Place) -> None:
    """No error and no wrong answer from kill to return, nor from freeze to thaw; afterwards the region serves again."""
    async with LoadProcess(_spec(place)) as load:
        assert await load.until(_by_the_victim, within_s=60.0)

        seen = len(load.answers)
        await place.stack.kill_region(VICTIM)
        assert await load.until(partial(_elsewhere, VICTIM), within_s=60.0, after=seen)
        seen = len(load.answers)
        await place.stack.start_region(VICTIM)
        assert await place.stack.wait_serving(VICTIM, within_s=60.0)
        assert await load.until(_by_the_victim, within_s=90.0, after=seen)

        seen = len(load.answers)
        place.stack.pause_region(VICTIM)
        try:
            assert await load.until(partial(_elsewhere, VICTIM), within_s=60.0, after=seen)
            await asyncio.sleep(FROZEN_S)  # so that requests of every caller arrive while it is frozen
        finally:
            place.stack.resume_region(VICTIM)
        seen = len(load.answers)
        assert await load.until(_by_the_victim, within_s=90.0, after=seen)
        account = await load.stop()
    assert [answer for answer in load.answers if not answer.good] == []
    assert account.arrivals == account.answered == len(load.answers)
