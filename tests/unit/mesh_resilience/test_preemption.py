"""Promised slots come back from who borrowed them, whoever ends, leaves or hangs up meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from prometheus_client import REGISTRY
from tests.unit.mesh_resilience.limiter_world import World, play
from tests.unit.mesh_resilience.virtual_time import VirtualTimeLoop, run_virtual

from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded, Preempted
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.limiter_metrics import show
from trunkline_tiers import RankShare, RankTable

AFTER_S = 0.05
TABLE = RankTable((RankShare(0, 1, 100), RankShare(1, 1, 100), RankShare(2, 2, 100)), preempt_after_s=AFTER_S)
"""Of four slots, one is promised to each of the lower ranks, and two to the highest."""
BOUNDS = {"max_concurrency": 4, "max_queue": 50, "max_queue_per_tenant": 50, "table": TABLE}
LONG_S = 9.0


async def filled(world: World, count: int = 4, *, rank: int = 0, **options: object) -> list[asyncio.Task[float]]:
    """Let calls of a rank take slots, one after another."""
    tasks = []
    for number in range(count):
        tasks.append(world.spawn(f"{rank}-{number}", rank=rank, takes_s=LONG_S, **options))
        await asyncio.sleep(0.001)
    return tasks


def test_promised_work_ends_the_newest_borrowed_work_after_a_while() -> None:
    """After 50 ms, not before; the call that is ended is told when to come back, and is counted."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        assert await world.work("high", rank=2) == pytest.approx(AFTER_S)
        with pytest.raises(Preempted) as told:
            await running[3]
        assert told.value.retry_delay_s is not None
        assert 0 < told.value.retry_delay_s <= 10
        assert not any(task.done() for task in running[:3])
        await asyncio.gather(*running[:3])

    stats = play(scenario, **BOUNDS)
    assert stats.limiter.stats.preempted == 1
    assert [lane.preempted for lane in stats.limiter.lanes] == [1, 0, 0]


def test_a_call_whose_work_is_done_is_not_ended_for_others() -> None:
    """It only waits for its account to be written; the next newest pays. Without another one, promised work waits."""

    async def scenario(world: World) -> None:
        others = await filled(world, 3)
        settled, written = asyncio.Event(), asyncio.Event()

        async def accounted() -> str:
            slot = world.limiter.slot(
                tenant="t", rank=0, weight=1.0, deadline=world.loop.deadline(LONG_S), preemptible=True
            )
            async with slot:
                slot.settle()
                slot.settle()
                settled.set()
                await written.wait()
            return "told as done"

        newest = world.loop.create_task(accounted())
        await settled.wait()
        await world.work("high", rank=2)
        assert [task.done() for task in (*others, newest)] == [False, False, True, False]
        written.set()
        assert await newest == "told as done"
        await asyncio.gather(*others[:2])

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 1


def test_work_that_gets_a_slot_in_time_ends_nobody() -> None:
    """Most slots come back by themselves sooner."""

    async def scenario(world: World) -> None:
        running = await filled(world, 3)
        short = world.spawn("short", takes_s=AFTER_S / 2)
        await asyncio.sleep(0)
        assert await world.work("high", rank=2) == pytest.approx(AFTER_S / 2)
        await asyncio.gather(*running, short)

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 0


def test_only_as_much_is_taken_back_as_is_promised() -> None:
    """The third call of the highest rank waits for its turn; the lowest keeps its own slot."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        high = [world.spawn(f"high-{number}", rank=2, takes_s=LONG_S) for number in range(4)]
        await asyncio.sleep(1)
        assert sum(task.done() for task in running) == 2
        assert world.started.count("0-0") == 1
        for task in (*running, *high):
            task.cancel()
        await asyncio.gather(*running, *high, return_exceptions=True)

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 2


def test_the_lowest_rank_that_borrows_pays_first() -> None:
    """Pro keeps what it borrowed as long as free has borrowed something."""

    async def scenario(world: World) -> None:
        pro = await filled(world, 2, rank=1)
        free = await filled(world, 2, rank=0)
        await world.work("high", rank=2)
        assert [task.done() for task in (*free, *pro)] == [False, True, False, False]
        await asyncio.gather(free[0], *pro)

    play(scenario, **BOUNDS)


def test_a_lower_rank_takes_its_promise_back_from_a_higher_one() -> None:
    """A promise holds against everybody."""

    async def scenario(world: World) -> None:
        high = await filled(world, rank=2)
        assert await world.work("free", rank=0) == pytest.approx(AFTER_S)
        assert [task.done() for task in high] == [False, False, False, True]
        await asyncio.gather(*high[:3])

    play(scenario, **BOUNDS)


def test_writes_are_never_cut_off() -> None:
    """Another call pays, older or of a higher rank; if there is none, promised work waits."""

    async def scenario(world: World) -> None:
        search = await filled(world, 1)
        writes = await filled(world, 3, preemptible=False)
        high = [world.spawn("high", rank=2, takes_s=0.01) for _ in range(2)]
        await asyncio.sleep(1)
        assert all(not task.done() for task in writes)
        assert isinstance(search[0].exception(), Preempted)
        await asyncio.gather(*writes, *high)

    play(scenario, **BOUNDS)


def test_a_victim_that_takes_its_time_does_not_count_twice() -> None:
    """While it cleans up, nobody else is ended for the same call."""

    async def scenario(world: World) -> None:
        running = await filled(world, 3)

        async def stubborn() -> None:
            async with world.limiter.slot(tenant="t", rank=0, weight=1, deadline=world.loop.deadline(60)):
                try:
                    await asyncio.sleep(LONG_S)
                finally:
                    await asyncio.sleep(2)

        last = world.loop.create_task(stubborn())
        await asyncio.sleep(0.001)
        assert await world.work("high", rank=2) == pytest.approx(AFTER_S + 2)
        assert isinstance(last.exception(), Preempted)
        await asyncio.gather(*running)

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 1


def test_a_victim_that_will_not_stop_ends_as_it_likes() -> None:
    """Swallowing a cancellation is a defect of the call; it must neither hang nor be cancelled later."""

    async def scenario(world: World) -> None:
        running = await filled(world, 3)

        async def deaf() -> str:
            async with world.limiter.slot(tenant="t", rank=0, weight=1, deadline=world.loop.deadline(60)):
                try:
                    await asyncio.sleep(LONG_S)
                except asyncio.CancelledError:
                    await asyncio.sleep(0.5)
            await asyncio.sleep(0.1)
            task = asyncio.current_task()
            assert task is not None
            return f"done, {task.cancelling()} to come"

        last = world.loop.create_task(deaf())
        await asyncio.sleep(0.001)
        await world.work("high", rank=2)
        assert await last == "done, 0 to come"
        await asyncio.gather(*running)

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 0


def test_a_victim_whose_caller_hangs_up_in_the_same_moment_is_cancelled() -> None:
    """Its caller's cancellation is not ours to take back."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        high = world.spawn("high", rank=2)
        await asyncio.sleep(0)
        world.loop.call_later(AFTER_S, running[3].cancel)  # after the limiter's own timer, before the task runs
        await high
        assert running[3].cancelled()
        await asyncio.gather(*running[:3])

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 0


def test_who_hangs_up_first_is_no_victim() -> None:
    """It gives its slot back anyway."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        world.loop.call_later(AFTER_S - 1e-6, lambda: None)
        high = world.spawn("high", rank=2)
        await asyncio.sleep(AFTER_S / 2)
        running[3].cancel()
        assert await high == pytest.approx(AFTER_S / 2)
        assert not any(task.done() for task in running[:3])
        await asyncio.gather(*running[:3])

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 0


def test_a_victim_that_ends_by_itself_in_the_same_moment() -> None:
    """One slot, one way or the other; nothing is lost and nothing is counted twice."""

    async def scenario(world: World) -> None:
        running = await filled(world, 3)
        twin = world.spawn("twin", takes_s=AFTER_S)
        await asyncio.sleep(0)
        waited_s = await world.work("high", rank=2)
        assert waited_s == pytest.approx(AFTER_S)
        await asyncio.gather(*running, twin, return_exceptions=True)
        assert sum(isinstance(task.exception(), Preempted) for task in (*running, twin)) <= 1

    play(scenario, **BOUNDS)


def test_a_waiter_that_leaves_in_time_ends_nobody() -> None:
    """Nobody is ended for who is gone."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        high = world.spawn("high", rank=2)
        await asyncio.sleep(AFTER_S / 2)
        high.cancel()
        await asyncio.sleep(1)
        assert not any(task.done() for task in running)
        await asyncio.gather(*running)

    assert play(scenario, **BOUNDS).limiter.stats.preempted == 0


def test_a_waiter_that_leaves_while_its_victim_ends_passes_the_slot_on() -> None:
    """The slot goes to who else waits."""

    async def scenario(world: World) -> None:
        running = await filled(world)
        high = world.spawn("high", rank=2)
        other = world.spawn("other", rank=0)
        await asyncio.sleep(0)
        world.loop.call_later(AFTER_S, high.cancel)
        await asyncio.sleep(AFTER_S * 1.01)
        assert high.cancelled()
        assert isinstance(running[3].exception(), Preempted)
        await other
        await asyncio.gather(*running[:3])

    play(scenario, **BOUNDS)


def test_a_timeout_around_a_victim_is_not_mistaken_for_one() -> None:
    """`asyncio.timeout` and the limiter both cancel; each takes back its own."""

    async def scenario(world: World) -> None:
        running = await filled(world, 3)

        async def limited() -> str:
            try:
                async with asyncio.timeout(AFTER_S):
                    await world.work("limited", takes_s=LONG_S)
            except TimeoutError:
                return "timeout"
            except Preempted:
                return "preempted"
            return "done"

        last = world.loop.create_task(limited())
        await asyncio.sleep(0)
        await world.work("high", rank=2)
        assert await last in ("timeout", "preempted")
        await asyncio.gather(*running, return_exceptions=True)

    play(scenario, **BOUNDS)


def test_a_call_gives_enough_room_or_is_left_alone() -> None:
    """Ending a half-slot call for one that needs a slot would help nobody."""

    async def scenario(world: World) -> None:
        whole = await filled(world, 3)
        halves = await filled(world, 2, weight=0.5)
        await world.work("high", rank=2)
        assert not any(task.done() for task in halves)
        assert isinstance(whole[2].exception(), Preempted)
        await asyncio.gather(*whole[:2], *halves)

    play(scenario, **BOUNDS)


def test_a_heavy_call_ends_as_many_as_it_needs() -> None:
    """Promised work of several slots takes them from several small calls: the newest, and no more than it needs."""

    async def scenario(world: World) -> None:
        running = await filled(world, 16)
        assert await world.work("batch", rank=2, weight=4) == pytest.approx(AFTER_S)
        assert [isinstance(task.exception(), Preempted) for task in running if task.done()] == [True] * 4
        assert all(task.done() for task in running[12:])
        await asyncio.gather(*running[:12])

    assert play(scenario, **BOUNDS | {"max_concurrency": 16}).limiter.stats.preempted == 4


def test_what_is_free_counts_for_a_heavy_call() -> None:
    """One slot is idle, so three are taken back."""

    async def scenario(world: World) -> None:
        running = await filled(world, 15)
        await world.work("batch", rank=2, weight=4)
        assert [task.done() for task in running] == [False] * 12 + [True] * 3
        await asyncio.gather(*running[:12])

    assert play(scenario, **BOUNDS | {"max_concurrency": 16}).limiter.stats.preempted == 3


def test_nobody_is_ended_if_all_together_are_not_enough() -> None:
    """Two calls may be ended, and three slots are wanted: both go on, and the waiter waits."""

    async def scenario(world: World) -> None:
        writes = await filled(world, 6, preemptible=False)
        searches = await filled(world, 2)
        with pytest.raises(DeadlineUnreachable):
            await world.work("batch", rank=2, weight=3, left_s=4)
        assert not any(task.done() for task in (*writes, *searches))
        await asyncio.gather(*writes, *searches)

    assert play(scenario, **BOUNDS | {"max_concurrency": 8}).limiter.stats.preempted == 0


def test_one_call_that_is_enough_alone_spares_several() -> None:
    """Older than four small ones of its rank, but one instead of four."""

    async def scenario(world: World) -> None:
        large = await filled(world, 1, weight=4)
        small = await filled(world, 4)
        assert await world.work("batch", rank=2, weight=4) == pytest.approx(AFTER_S)
        assert isinstance(large[0].exception(), Preempted)
        await asyncio.gather(*small)

    assert play(scenario, **BOUNDS | {"max_concurrency": 8}).limiter.stats.preempted == 1


def test_nobody_is_ended_without_need_on_the_way_to_enough() -> None:
    """The lowest rank's small calls do not suffice; with the next rank's large one they are not needed."""

    async def scenario(world: World) -> None:
        pro = await filled(world, 2, rank=1, weight=4)
        own = await filled(world, 1, rank=2)
        small = await filled(world, 7)
        assert await world.work("batch", rank=2, weight=4) == pytest.approx(AFTER_S)
        assert isinstance(pro[1].exception(), Preempted)
        await asyncio.gather(pro[0], *own, *small)

    assert play(scenario, **BOUNDS | {"max_concurrency": 16}).limiter.stats.preempted == 1


def test_no_rank_loses_what_it_is_promised_to_a_heavy_call() -> None:
    """Of each rank only what it borrowed is taken; several ranks pay together, the lowest first."""

    async def scenario(world: World) -> None:
        pro = await filled(world, 4, rank=1)
        free = await filled(world, 4)
        assert await world.work("batch", rank=2, weight=4) == pytest.approx(AFTER_S)
        assert [task.done() for task in (*free, *pro)] == [False, False, True, True] * 2
        await asyncio.gather(*free[:2], *pro[:2])

    assert play(scenario, **BOUNDS | {"max_concurrency": 8}).limiter.stats.preempted == 4


def test_two_heavy_calls_do_not_count_on_the_same_slots() -> None:
    """Each gets its own room, also of what was free, and no victim is ended twice."""

    async def scenario(world: World) -> None:
        running = await filled(world, 15)
        batches = [world.spawn("batch", rank=2, weight=4, tenant=f"e{n}", takes_s=1) for n in range(2)]
        waits_s = await asyncio.gather(*batches)
        assert waits_s == pytest.approx([AFTER_S, AFTER_S])
        assert [task.done() for task in running] == [False] * 8 + [True] * 7
        await asyncio.gather(*running[:8])

    assert play(scenario, **BOUNDS | {"max_concurrency": 16}).limiter.stats.preempted == 7


def test_a_heavy_call_whose_room_other_promised_work_took_is_helped_again() -> None:
    """One victim takes its time; meanwhile promised work of another rank takes a slot of those that are gone."""

    async def scenario(world: World) -> None:
        async def slow() -> None:
            async with world.limiter.slot(tenant="t", rank=0, weight=1, deadline=world.loop.deadline(60)):
                try:
                    await asyncio.sleep(LONG_S)
                finally:
                    await asyncio.sleep(0.2)

        running = await filled(world, 6)
        last = world.loop.create_task(slow())
        await asyncio.sleep(0.001)
        running += await filled(world, 1)
        waiting = [world.spawn("low", left_s=60) for _ in range(20)]
        high = world.spawn("high", rank=2, takes_s=LONG_S)  # its rank has had a turn then, and pro none
        await asyncio.sleep(AFTER_S * 1.1)
        batch = world.spawn("batch", rank=2, weight=3)
        await asyncio.sleep(AFTER_S * 1.1)
        assert world.limiter.slots_in_use == 6, "two of three are gone"
        pro = world.spawn("pro", rank=1, takes_s=LONG_S)
        await asyncio.sleep(0.001)
        assert world.started.count("pro") == 1
        assert await batch == pytest.approx(AFTER_S + 0.2)
        assert isinstance(last.exception(), Preempted)
        assert sum(task.done() for task in running) == 4
        await asyncio.gather(high, *running, *waiting, pro, return_exceptions=True)

    play(scenario, **BOUNDS | {"max_concurrency": 8})


def test_a_part_of_a_slot_that_is_promised_may_be_used() -> None:
    """A small server promises less than a slot to its lowest rank; one call of it is not borrowed work."""

    async def scenario(world: World) -> None:
        free = world.spawn("free", takes_s=LONG_S)
        await asyncio.sleep(0)
        high = world.spawn("high", rank=2, takes_s=LONG_S)
        late = world.spawn("late", rank=2, takes_s=0.1)
        await asyncio.sleep(1)
        assert not free.done()
        await asyncio.gather(free, high, late, return_exceptions=True)

    bounds = BOUNDS | {"max_concurrency": 2, "table": RankTable((RankShare(0, 1, 9), RankShare(2, 19, 9)))}
    assert play(scenario, **bounds).limiter.stats.preempted == 0


@pytest.mark.parametrize("first_seed", range(0, 100, 50))
def test_no_slot_is_lost_whoever_ends_whom(first_seed: int) -> None:
    """Random calls of all ranks, some deaf, some slow to stop, some hung up on: slots add up at every step."""
    seen: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + 50):
        rng, loop = random.Random(seed), VirtualTimeLoop()
        limiter = CapacityLimiter(**BOUNDS, clock=loop.time, rng=rng.random)  # type: ignore[arg-type]
        run_virtual(_storm(limiter, loop, rng, seen), loop)
        assert limiter.slots_in_use == 0, seed
        assert limiter.waiting == 0, seed
        assert all(lane.in_use == 0 and not lane.aging for lane in limiter.lanes), seed
        assert not limiter.preemption._ending, seed
        assert not any(limiter.preemption._awaited.values()), seed
        assert not any(limiter.preemption._leaving.values()), seed
        assert not any(limiter.preemption._running.values()), seed
    assert {"served", "Preempted", "CancelledError"} <= set(seen)


async def _storm(limiter: CapacityLimiter, loop: VirtualTimeLoop, rng: random.Random, seen: Counter[str]) -> None:
    async def call() -> None:
        slot = limiter.slot(
            tenant=rng.choice("abc"),
            rank=rng.randrange(3),
            weight=rng.choice((0.5, 1, 1, 1, 2, 4)),
            deadline=loop.deadline(rng.choice((0.2, 1.0, 5.0))),
            preemptible=rng.random() < 0.8,
        )
        try:
            async with slot:
                assert limiter.slots_in_use <= 4
                try:
                    await asyncio.sleep(rng.expovariate(4.0))
                except asyncio.CancelledError:
                    if rng.random() < 0.3:
                        await asyncio.sleep(rng.expovariate(10.0))
                    if rng.random() < 0.9:
                        raise
            seen["served"] += 1
        except (Overloaded, DeadlineUnreachable, DeadlineExceeded, Preempted, asyncio.CancelledError) as exc:
            seen[type(exc).__name__] += 1

    tasks = []
    for _ in range(rng.randrange(20, 80)):
        tasks.append(loop.create_task(call()))
        await asyncio.sleep(rng.expovariate(30.0))
        if rng.random() < 0.2:
            rng.choice(tasks).cancel()
        assert sum(lane.in_use for lane in limiter.lanes) == round(limiter.slots_in_use * 1000)
    await asyncio.gather(*tasks)


def test_the_metrics_page_tells_ranks_apart() -> None:
    """Slots, waiting calls, refusals and preemptions by rank; the limit and the pressure of the server."""

    def shown(name: str, rank: int | None = None) -> float | None:
        labels = {"service": "ranks-test"} | ({} if rank is None else {"rank": str(rank)})
        return REGISTRY.get_sample_value(f"trunkline_limiter_{name}", labels)

    async def scenario(world: World) -> None:
        show(world.limiter, "ranks-test")
        running = await filled(world)
        high = world.spawn("high", rank=2, takes_s=0.1)
        await asyncio.sleep(0)
        assert (shown("limit"), shown("pressure")) == (4, 1.25)
        assert [shown("in_use", rank) for rank in (0, 1, 2)] == [4, 0, 0]
        assert [shown("waiting", rank) for rank in (0, 1, 2)] == [0, 0, 1]
        with pytest.raises(DeadlineUnreachable):
            await world.work("hurried", rank=1, left_s=0.001)
        assert [shown("shed_total", rank) for rank in (0, 1, 2)] == [0, 1, 0]
        await high
        await asyncio.gather(*running, return_exceptions=True)

    play(scenario, **BOUNDS)
    assert [shown("preempted_total", rank) for rank in (0, 1, 2)] == [1, 0, 0]
