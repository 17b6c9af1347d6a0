"""A call that waits for what costs its server nothing holds no slot meanwhile, and gets one again when it goes on."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh_resilience.limiter_world import World, play

from trunkline_mesh.adaptive import AdaptiveLimit
from trunkline_mesh.errors import InFlightLimit, Overloaded, Preempted
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.parking import ParkedCalls, parked
from trunkline_mesh.request import RequestScope, enter_request
from trunkline_tiers import RankShare, RankTable

TABLE = RankTable((RankShare(0, 1, 100, in_flight=3), RankShare(1, 15, 100, in_flight=100)))
WAIT_S = 4.0
WORK_S = 0.01


async def call(
    world: World, until: asyncio.Event | None = None, *, tenant: str = "t", rank: int = 0, work_s: float = WORK_S
) -> RequestScope:
    """Take a slot, wait for `until` without it, then work; return what became of the call."""
    deadline = world.loop.deadline(20.0)
    scope = RequestScope("id", 1, "/a.B/C", deadline, deadline_capped=False)
    enter_request(scope)
    slot = world.limiter.slot(tenant=tenant, rank=rank, weight=1.0, deadline=deadline)
    async with slot as scope.queue_wait_s:
        scope.slot = slot
        if until is not None:
            async with parked():
                await until.wait()
        await asyncio.sleep(work_s)
    return scope


def test_who_waits_holds_no_slot() -> None:
    """One slot serves others while many wait, and those that waited one after the other."""

    async def scenario(world: World) -> None:
        arrived = asyncio.Event()
        waiting = [world.loop.create_task(call(world, arrived, rank=2)) for _ in range(50)]
        await asyncio.sleep(WAIT_S)
        assert world.limiter.slots_in_use == 0
        assert len(world.limiter.parked) == 50
        assert (await call(world)).queue_wait_s == 0
        arrived.set()
        waits = sorted(scope.queue_wait_s for scope in await asyncio.gather(*waiting))
        assert waits == pytest.approx([number * WORK_S for number in range(50)])

    play(scenario, max_concurrency=1, max_queue=1, max_queue_per_tenant=1)


def test_waiting_teaches_the_limit_nothing() -> None:
    """An adaptive limit does not fall for calls that took long because they waited elsewhere."""
    adaptive = AdaptiveLimit(1, 8)

    async def scenario(world: World) -> None:
        for _ in range(30):
            await asyncio.gather(*(call(world) for _ in range(8)))
        for _ in range(30):
            arrived = asyncio.Event()
            waiting = [world.loop.create_task(call(world, arrived)) for _ in range(8)]
            await asyncio.sleep(WAIT_S)
            arrived.set()
            await asyncio.gather(*waiting)

    play(scenario, max_concurrency=8, adaptive=adaptive)
    assert adaptive.slots == 8


def test_a_tenants_own_bound_is_its_tiers() -> None:
    """As many as it may have under way; others are not touched by it, and leaving makes room."""
    limiter = CapacityLimiter(max_concurrency=4, max_queue=0, max_queue_per_tenant=0, table=TABLE)
    low, calls = limiter.lanes[0], ParkedCalls()
    for _ in range(3):
        calls.enter(low, "a")
    with pytest.raises(InFlightLimit) as refused:
        calls.enter(low, "a")
    assert refused.value.metadata["limit"] == "3"
    calls.enter(low, "b")
    calls.leave(low, "a")
    calls.enter(low, "a")
    assert len(calls) == 4


def test_a_rank_takes_no_other_ranks_places() -> None:
    """However many tokens of a future that never comes a low rank sends, a high one finds its part, and an eighth is
    anybody's."""
    limiter = CapacityLimiter(max_concurrency=4, max_queue=0, max_queue_per_tenant=0, table=TABLE)
    low, high = limiter.lanes
    calls = ParkedCalls(most=16)
    for number in range(2):
        calls.enter(low, f"low-{number}")
    with pytest.raises(Overloaded):
        calls.enter(low, "another")
    for number in range(15):
        calls.enter(high, f"high-{number}")
    with pytest.raises(Overloaded):
        calls.enter(high, "another")


def test_a_full_house_is_refused_with_its_slot_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that finds no room to wait is told when to come back; the others go on."""

    async def scenario(world: World) -> None:
        monkeypatch.setattr(world.limiter, "parked", ParkedCalls(most=1))
        arrived = asyncio.Event()
        first = world.loop.create_task(call(world, arrived))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await call(world, arrived)
        assert refused.value.retry_delay_s == 1.0
        assert not refused.value.counted
        arrived.set()
        await first

    assert [lane.shed for lane in play(scenario).limiter.lanes] == [0, 0, 0]


def test_a_refusal_after_the_wait_is_counted_once() -> None:
    """The limiter counts it for the rank, and says so to whoever counts failures."""

    async def scenario(world: World) -> None:
        arrived = asyncio.Event()
        waits = world.loop.create_task(call(world, arrived))
        await asyncio.sleep(15.0)
        release = await world.holding()
        arrived.set()
        with pytest.raises(Overloaded) as refused:
            await waits
        assert refused.value.counted
        release.set()
        await world.holder

    assert [lane.shed for lane in play(scenario, max_concurrency=1).limiter.lanes] == [1, 0, 0]


def test_an_error_while_waiting_takes_no_slot_again() -> None:
    """What the wait ends with is what the call ends with, even if no slot is free."""

    async def failing(world: World) -> None:
        deadline = world.loop.deadline(20.0)
        enter_request(scope := RequestScope("id", 1, "/a.B/C", deadline, deadline_capped=False))
        slot = world.limiter.slot(tenant="t", rank=0, weight=1.0, deadline=deadline)
        async with slot:
            scope.slot = slot
            async with parked():
                await asyncio.sleep(WAIT_S)
                raise KeyError

    async def scenario(world: World) -> None:
        task = world.loop.create_task(failing(world))
        await asyncio.sleep(WAIT_S / 2)
        release = await world.holding()
        with pytest.raises(KeyError):
            await task
        release.set()
        await world.holder

    play(scenario, max_concurrency=1)


def test_only_the_calls_own_task_gives_its_slot_up() -> None:
    """A step that a call runs beside others must not take the slot from under them."""

    async def scenario(world: World) -> None:
        deadline = world.loop.deadline(20.0)
        enter_request(scope := RequestScope("id", 1, "/a.B/C", deadline, deadline_capped=False))
        slot = world.limiter.slot(tenant="t", rank=0, weight=1.0, deadline=deadline)

        async def step() -> float:
            async with parked():
                return world.limiter.slots_in_use

        async with slot:
            scope.slot = slot
            assert await world.loop.create_task(step()) == 1

    play(scenario)


async def test_outside_of_a_call_it_is_nothing() -> None:
    """Background work waits as it always did."""
    async with parked():
        pass


def test_a_parked_call_is_not_ended_for_others() -> None:
    """It holds nothing that could be taken back; once it goes on, it is as any other."""
    table = RankTable((RankShare(0, 1, 100), RankShare(1, 1, 100)), preempt_after_s=0.05)

    async def scenario(world: World) -> None:
        arrived = asyncio.Event()
        waits = world.loop.create_task(call(world, arrived, rank=0, work_s=9.0))
        await asyncio.sleep(0)
        borrowed = [world.loop.create_task(call(world, rank=0, work_s=9.0)) for _ in range(2)]
        await asyncio.sleep(1.0)
        assert (await call(world, rank=1)).queue_wait_s == pytest.approx(0.05)
        assert [task.done() for task in borrowed] == [False, True]
        arrived.set()
        await asyncio.sleep(1.0)
        assert (await call(world, rank=1)).queue_wait_s == pytest.approx(0.05)
        for task in (borrowed[1], waits):
            with pytest.raises(Preempted):
                await task
        await borrowed[0]

    play(scenario, table=table)


@given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.2), st.booleans(), st.booleans()), max_size=30))
def test_nothing_is_lost_however_calls_wait_and_end(calls: list[tuple[float, float, bool, bool]]) -> None:
    """Whoever waits, is cancelled, or is refused: at the end nobody holds, waits or is parked."""

    async def one(world: World, starts_s: float, lasts_s: float, waits: bool) -> None:
        await asyncio.sleep(starts_s)
        arrived = asyncio.Event()
        world.loop.call_later(lasts_s, arrived.set)
        await call(world, arrived if waits else None, work_s=lasts_s)

    async def scenario(world: World) -> None:
        tasks = []
        for starts_s, lasts_s, waits, is_cancelled in calls:
            task = world.loop.create_task(one(world, starts_s, lasts_s, waits))
            if is_cancelled:
                world.loop.call_later(starts_s + lasts_s * 0.7, task.cancel)
            tasks.append(task)
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not len(world.limiter.parked)

    play(scenario)
