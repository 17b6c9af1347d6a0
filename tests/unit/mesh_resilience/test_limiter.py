"""Who gets a slot, who waits, and who is refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.mesh_resilience.limiter_world import World, play

from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded
from trunkline_mesh.hold_time import INITIAL_HOLD_S
from trunkline_mesh.limiter import CapacityLimiter


def test_free_slots_are_taken_at_once() -> None:
    """Nobody waits while there is room."""

    async def scenario(world: World) -> None:
        assert [await task for task in (world.spawn(), world.spawn())] == [0.0, 0.0]

    assert play(scenario).limiter.stats.at_once == 2


def test_a_waiting_call_starts_when_a_slot_is_given_back() -> None:
    """And learns how long it waited."""

    async def scenario(world: World) -> None:
        waits = await asyncio.gather(*[world.spawn() for _ in range(4)])
        assert list(waits) == pytest.approx([0.0, 0.0, 0.05, 0.05])

    assert play(scenario).limiter.stats.after_wait == 2


def test_a_newcomer_passes_nobody() -> None:
    """A free slot goes to those who wait, not to who comes just then."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        first = world.spawn("first", weight=2)
        await asyncio.sleep(0)
        second = world.spawn("second")
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(first, second, world.holder)
        assert world.started == ["first", "second"]

    play(scenario)


def test_weights_take_several_slots() -> None:
    """Two calls of weight 0.5 share a slot; one heavier than everything takes everything."""

    async def scenario(world: World) -> None:
        halves = [world.spawn(weight=0.5) for _ in range(4)]
        await asyncio.sleep(0)
        assert world.limiter.slots_in_use == 2
        assert world.limiter.pressure() == pytest.approx(1.0)
        huge = world.spawn("huge", weight=50)
        await asyncio.gather(*halves, huge)

    play(scenario)


def test_weight_zero_neither_waits_nor_holds() -> None:
    """Health and long streams are exempt."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        assert await world.work(weight=0) == 0.0
        release.set()
        await world.holder

    play(scenario)


def test_a_short_line_waits_for_calls_that_began_together() -> None:
    """None of many slots comes free before all of them do, so the mean between two ends predicts too little."""

    async def scenario(world: World) -> None:
        running = [world.spawn(takes_s=0.05) for _ in range(64)]
        await asyncio.sleep(0.001)
        assert await world.work() == pytest.approx(0.049)
        await asyncio.gather(*running)

    play(scenario, max_concurrency=64)


def test_a_full_line_of_a_tenant_is_refused_at_once() -> None:
    """With when to come back; other tenants may still wait."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        waiting = [world.spawn(tenant="flood") for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await world.work(tenant="flood")
        assert refused.value.retry_delay_s is not None
        assert refused.value.retry_delay_s > 0
        other = world.spawn(tenant="other")
        await asyncio.sleep(0)
        assert world.limiter.waiting == 5
        release.set()
        await asyncio.gather(*waiting, other, world.holder)

    play(scenario)


def test_a_full_queue_makes_room_for_who_has_more_right() -> None:
    """The flood's newest call leaves for a tenant that waits for nothing; another of the flood is refused."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        flood = [world.spawn(tenant="flood") for _ in range(4)]
        await asyncio.sleep(0)
        victim = world.spawn(tenant="other")
        await asyncio.wait([flood[3]])
        assert isinstance(flood[3].exception(), Overloaded)
        with pytest.raises(Overloaded):
            await world.work(tenant="flood")
        release.set()
        await asyncio.gather(*flood[:3], victim, world.holder)

    assert play(scenario, max_queue=4, max_queue_per_tenant=5).limiter.stats.pushed_out == 1


def test_without_a_queue_a_busy_server_refuses() -> None:
    """`max_queue` 0 means run or refuse."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        with pytest.raises(Overloaded):
            await world.work()
        release.set()
        await world.holder

    play(scenario, max_queue=0)


def test_a_wait_beyond_half_of_the_deadline_is_refused_at_once() -> None:
    """By prediction: no time passes before the refusal."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        began_s = world.loop.time()
        with pytest.raises(DeadlineUnreachable):
            await world.work(left_s=INITIAL_HOLD_S / 2 * 1.9)
        assert world.loop.time() == began_s
        release.set()
        await world.holder

    assert play(scenario).limiter.stats.unreachable == 1


def test_a_wait_ends_at_half_of_the_deadline() -> None:
    """If the prediction was wrong, the call still gets its answer while its caller can use it."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        began_s = world.loop.time()
        with pytest.raises(DeadlineUnreachable):
            await world.work(left_s=0.06)
        assert world.loop.time() - began_s == pytest.approx(0.03)
        release.set()
        await world.holder

    play(scenario)


def test_a_wait_ends_with_the_predicted_wait() -> None:
    """A caller with a long deadline does not wait for a server that stopped giving slots back."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        began_s = world.loop.time()
        with pytest.raises(Overloaded):
            await world.work(left_s=60.0)
        assert world.loop.time() - began_s <= 5 * INITIAL_HOLD_S
        release.set()
        await world.holder

    assert play(scenario).limiter.stats.overloaded == 1


def test_predictions_follow_the_time_that_slots_are_held() -> None:
    """After slow calls, a deadline that used to be long enough is refused at once."""

    async def scenario(world: World) -> None:
        for _ in range(50):
            await world.work(takes_s=1.0)
        release = await world.holding(weight=2)
        with pytest.raises(DeadlineUnreachable):
            await world.work(left_s=0.8)
        release.set()
        await world.holder

    play(scenario)


def test_a_passed_deadline_is_refused_before_a_slot_is_taken() -> None:
    """Also where slots are free."""

    async def scenario(world: World) -> None:
        with pytest.raises(DeadlineExceeded):
            await world.work(left_s=0.0)

    assert play(scenario).started == []


def test_what_expired_while_the_loop_was_blocked_is_not_run() -> None:
    """The timer is late, so the dispatcher looks at the time itself; the slot goes to who still has time."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        late = world.spawn("late", left_s=0.06)
        patient = world.spawn("patient", tenant="other", left_s=10.0)
        await asyncio.sleep(0)
        release.set()
        world.loop.now_s += 0.08  # the loop does something else for that long
        results = await asyncio.gather(late, patient, world.holder, return_exceptions=True)
        assert isinstance(results[0], DeadlineUnreachable)
        assert world.started == ["patient"]

    play(scenario)


def test_what_expired_between_grant_and_start_is_not_run() -> None:
    """A grant is no promise that the event loop comes in time."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        late = world.spawn("late", left_s=0.2)
        await asyncio.sleep(0)
        release.set()
        await asyncio.sleep(0)  # the holder gives back, `late` is granted and has not run yet
        world.loop.now_s += 0.3
        with pytest.raises(DeadlineExceeded):
            await late
        await world.holder
        assert world.started == []

    assert play(scenario).limiter.stats.too_late == 1


def test_a_cancelled_waiter_passes_its_turn_on() -> None:
    """Also if it was granted in the same moment: a lost wake-up would idle a slot for ever."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        first = world.spawn("first", weight=2)
        second = world.spawn("second", weight=2)
        await asyncio.sleep(0)
        release.set()
        await asyncio.sleep(0)  # the holder gives back, `first` is granted and has not run yet
        first.cancel()
        results = await asyncio.gather(first, second, world.holder, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert world.started == ["second"]

    assert play(scenario).limiter.stats.cancelled == 1


def test_a_large_call_that_leaves_lets_the_small_one_behind_it_start() -> None:
    """Whoever blocks the head of the queue blocks it only while it waits."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=1)
        large = world.spawn("large", weight=2)
        await asyncio.sleep(0)
        small = world.spawn("small", tenant="other", weight=1)
        await asyncio.sleep(0)
        assert world.started == []
        large.cancel()
        await asyncio.wait([large])
        await small
        assert world.started == ["small"]
        release.set()
        await world.holder

    play(scenario)


def test_a_large_call_that_gives_up_lets_the_small_one_behind_it_start() -> None:
    """At that moment, not when the next slot happens to come back."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=1)
        large = world.spawn("large", weight=2, left_s=0.11)
        await asyncio.sleep(0)
        small = world.spawn("small", tenant="other", weight=1)
        assert await small == pytest.approx(0.055)
        assert isinstance(large.exception(), DeadlineUnreachable)
        release.set()
        await world.holder

    play(scenario)


def test_a_newcomer_that_is_first_in_turn_and_fits_starts_at_once() -> None:
    """A tenant that owes nothing goes before one that was just served, whose large call does not fit yet."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        served = world.spawn("served", tenant="debtor", takes_s=60.0)
        large = world.spawn("large", tenant="debtor", weight=2)
        await asyncio.sleep(0)
        release.set()
        await asyncio.sleep(0.001)
        assert world.started == ["served"]
        assert await world.work("newcomer", tenant="other") == 0.0
        served.cancel()
        await asyncio.wait([served])
        await asyncio.gather(large, world.holder)
        assert world.started == ["served", "newcomer", "large"]

    play(scenario)


def test_a_failing_call_gives_its_slot_back() -> None:
    """Whatever ends a call."""

    async def scenario(world: World) -> None:
        for error in (RuntimeError, asyncio.CancelledError):
            with pytest.raises(error):
                async with world.limiter.slot(tenant="t", rank=0, weight=2, deadline=world.loop.deadline(1)):
                    raise error

    play(scenario)


def test_higher_ranks_wait_less() -> None:
    """Of calls that came together, enterprise's start before most of free's."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=1)
        tasks = [world.spawn("free", tenant="f", rank=0) for _ in range(6)]
        tasks += [world.spawn("enterprise", tenant="e", rank=2) for _ in range(6)]
        await asyncio.sleep(0)
        release.set()
        await asyncio.gather(*tasks, world.holder)
        assert world.started[:7].count("enterprise") >= 5

    play(scenario, max_concurrency=1, max_queue=20, max_queue_per_tenant=10)


@pytest.mark.parametrize("rank", [-5, 99])
def test_ranks_beyond_the_table_count_as_its_ends(rank: int) -> None:
    """A tier that was configured later does not break a server."""

    async def scenario(world: World) -> None:
        await asyncio.gather(*(world.spawn(rank=rank) for _ in range(4)))

    play(scenario)


def test_one_tenants_flood_costs_another_nothing_where_first_in_first_out_starves_it() -> None:
    """One tenant at ten times the capacity; the other, within its share, is always served, soon."""

    async def scenario(world: World) -> None:
        fifo = asyncio.Semaphore(2)

        async def naive(tenant: str, waits: list[float]) -> None:
            began_s = world.loop.time()
            async with fifo:
                if tenant == "victim":
                    waits.append(world.loop.time() - began_s)
                await asyncio.sleep(0.05)

        async def ours(tenant: str, waits: list[float]) -> None:
            waited_s = await world.work(tenant=tenant, left_s=2.0)
            if tenant == "victim":
                waits.append(waited_s)

        for serve, waits in ((naive, naive_waits), (ours, our_waits)):
            tasks = []
            for tick in range(100):  # 5 s; capacity 40 a second
                tasks += [world.loop.create_task(serve("flood", waits)) for _ in range(20)]
                tasks += [world.loop.create_task(serve("victim", waits))] if tick % 4 == 0 else []
                await asyncio.sleep(0.05)
            await asyncio.gather(*tasks, return_exceptions=True)

    naive_waits: list[float] = []
    our_waits: list[float] = []
    play(scenario, max_queue=64, max_queue_per_tenant=32)
    assert len(our_waits) == 25
    assert max(our_waits) <= 0.1001
    assert max(naive_waits) > 10


def test_goodput_holds_at_ten_times_the_load_where_first_in_first_out_collapses() -> None:
    """Answers within the deadline: near capacity for ours; next to none from an unbounded queue in order of arrival."""

    async def scenario(world: World) -> None:
        fifo = asyncio.Semaphore(2)

        async def naive() -> None:
            began_s = world.loop.time()
            async with fifo:
                await asyncio.sleep(0.02)
            naive_good.append(world.loop.time() - began_s <= 0.3)

        async def ours() -> None:
            began_s = world.loop.time()
            await world.work(left_s=0.3, takes_s=0.02)
            our_good.append(world.loop.time() - began_s <= 0.3)

        for serve in (naive, ours):
            tasks = []
            for _ in range(250):  # 5 s at 1000 a second; capacity 100 a second
                tasks += [world.loop.create_task(serve()) for _ in range(20)]
                await asyncio.sleep(0.02)
            await asyncio.gather(*tasks, return_exceptions=True)

    naive_good: list[bool] = []
    our_good: list[bool] = []
    play(scenario, max_queue=256, max_queue_per_tenant=256)
    assert sum(our_good) >= 0.9 * 5 * 100
    assert sum(naive_good) < 0.2 * 5 * 100


@pytest.mark.parametrize(
    "bounds",
    [
        {"max_concurrency": 0, "max_queue": 1, "max_queue_per_tenant": 1},
        {"max_concurrency": 1, "max_queue": -1, "max_queue_per_tenant": 1},
        {"max_concurrency": 1, "max_queue": 1, "max_queue_per_tenant": -1},
    ],
    ids=str,
)
def test_bounds_that_make_no_sense_are_refused(bounds: dict[str, Any]) -> None:
    """At least one slot, no negative queue."""
    with pytest.raises(ValueError, match="needs"):
        CapacityLimiter(**bounds)
