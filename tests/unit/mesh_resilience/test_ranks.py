"""Shares between ranks, and inside a rank between tenants: nobody starves, nobody is overtaken by borrowed work."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.mesh_resilience.limiter_world import World, play
from tests.unit.mesh_resilience.virtual_time import VirtualTimeLoop, run_virtual

from trunkline_mesh.errors import DeadlineUnreachable, DomainError, Overloaded
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_tiers import RankShare, RankTable, default_tiers, rank_table

WEIGHTS = {0: 1.0, 1: 5.0, 2: 10.0}
RANKS = tuple(WEIGHTS)


@dataclass
class Crowd:
    """Tenants of several ranks, each with so many callers that come back as soon as they are answered or refused."""

    slots: int
    takes_s: float = 0.1
    left_s: float = 2.0
    seed: int = 1
    table: RankTable | None = None
    served: Counter[tuple[int, str]] = field(default_factory=Counter)
    waits: dict[int, list[float]] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.loop = VirtualTimeLoop()
        self.rng = random.Random(self.seed)
        self.limiter = CapacityLimiter(
            max_concurrency=self.slots,
            max_queue=256,
            max_queue_per_tenant=64,
            table=self.table,
            clock=self.loop.time,
            rng=self.rng.random,
        )

    def run(self, seconds: float, callers: dict[tuple[int, str], int]) -> None:
        async def scenario() -> None:
            end_s = self.loop.time() + seconds
            tasks = [
                self.loop.create_task(self._caller(rank, tenant, end_s))
                for (rank, tenant), count in callers.items()
                for _ in range(count)
            ]
            await asyncio.gather(*tasks)

        run_virtual(scenario(), self.loop)

    async def _caller(self, rank: int, tenant: str, end_s: float) -> None:
        await asyncio.sleep(self.rng.random() * self.takes_s)
        while self.loop.time() < end_s:
            deadline = self.loop.deadline(self.left_s)
            try:
                async with self.limiter.slot(tenant=tenant, rank=rank, weight=1, deadline=deadline) as waited_s:
                    self.waits.setdefault(rank, []).append(waited_s)
                    await asyncio.sleep(self.takes_s)
                self.served[rank, tenant] += 1
            except DomainError as exc:
                self.refused[type(exc).__name__] += 1
                await asyncio.sleep(exc.retry_delay_s or 0.05)

    def share(self, rank: int) -> float:
        return sum(count for (of, _), count in self.served.items() if of == rank) / self.served.total()


def jain(values: Sequence[float]) -> float:
    """Jain, Chiu and Hawe's index: 1 if all are equal, 1/n if one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


@pytest.mark.parametrize("slots", [1, 2, 6, 32])
@pytest.mark.parametrize("present", [(0, 1, 2), (0, 1), (0, 2)], ids=str)
def test_ranks_that_want_everything_share_by_weight(slots: int, present: tuple[int, ...]) -> None:
    """However few slots there are; a rank that is away leaves its share to the others, by their weights."""
    crowd = Crowd(slots)
    crowd.run(240 / slots, {(rank, f"t{rank}"): slots + 10 for rank in present})
    total = sum(WEIGHTS[rank] for rank in present)
    for rank in present:
        assert crowd.share(rank) == pytest.approx(WEIGHTS[rank] / total, rel=0.15, abs=0.02)
    assert crowd.served.total() >= 0.97 * 240 / crowd.takes_s, "a slot was idle while somebody waited"


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_equal_tenants_of_a_rank_are_served_alike(slots: int) -> None:
    """By Jain's index, although one of them asks ten times as often."""
    crowd = Crowd(slots)
    callers = {(0, f"t{number}"): 2 * slots for number in range(8)}
    callers[0, "t0"] *= 5
    crowd.run(240 / slots, callers)
    assert jain(list(crowd.served.values())) >= 0.95


@pytest.mark.parametrize("slots", [1, 6, 32])
def test_no_rank_starves(slots: int) -> None:
    """One caller of the lowest rank among a flood of the highest gets what its weight allows."""
    crowd = Crowd(slots)
    crowd.run(400 / slots, {(2, "flood"): 3 * slots, (0, "small"): 4 * max(1, slots // 8)})
    assert crowd.share(0) >= 0.75 / 11


@pytest.mark.parametrize("flood", [0, 1])
def test_a_flood_of_a_lower_rank_costs_a_higher_one_next_to_nothing(flood: int) -> None:
    """Who stays inside its promise waits for at most the time after which borrowed work is ended."""
    crowd = Crowd(16, takes_s=1.0, left_s=10.0)
    crowd.run(20, {(flood, "flood"): 60, (2, "high"): 8})
    assert max(crowd.waits[2]) <= crowd.limiter.preemption.after_s + 1e-6
    assert crowd.limiter.lanes[2].shed == 0
    assert crowd.limiter.lanes[2].preempted == 0


def test_what_is_idle_is_lent() -> None:
    """Alone, the lowest rank has everything."""
    crowd = Crowd(16)
    crowd.run(20, {(0, "alone"): 64})
    assert crowd.served.total() >= 0.97 * 16 * 20 / crowd.takes_s
    assert crowd.limiter.stats.preempted == 0


@pytest.mark.parametrize("seed", range(2))
def test_goodput_holds_at_ten_times_the_load_of_all_ranks(seed: int) -> None:
    """Open arrivals at ten times the capacity for 10 s: at least nine tenths of it is answered within the deadline."""
    loop, rng, good = VirtualTimeLoop(), random.Random(seed), Counter[int]()
    limiter = CapacityLimiter(
        max_concurrency=6, max_queue=256, max_queue_per_tenant=64, clock=loop.time, rng=rng.random
    )

    async def call(rank: int) -> None:
        deadline = loop.deadline(0.5)
        try:
            async with limiter.slot(tenant=f"{rank}-{rng.randrange(50)}", rank=rank, weight=1, deadline=deadline):
                await asyncio.sleep(rng.uniform(0.05, 0.15))
        except DomainError:
            return
        good[rank] += not deadline.at_s < loop.time()

    async def scenario() -> None:
        tasks, end_s = [], loop.time() + 10
        while loop.time() < end_s:
            tasks.append(loop.create_task(call(rng.choice((0, 0, 0, 0, 1, 2)))))
            await asyncio.sleep(rng.expovariate(600.0))
        await asyncio.gather(*tasks)

    run_virtual(scenario(), loop)
    assert good.total() >= 0.9 * 60 * 10
    assert good[2] > good[1] > good[0] > 0


def test_a_full_queue_takes_from_the_lower_rank_what_is_beyond_its_part() -> None:
    """Places in the queue are promised like slots; the newest of the lower rank goes."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        free = [world.spawn("free", tenant=f"f{number}") for number in range(16)]
        await asyncio.sleep(0)
        high = [world.spawn("high", rank=2, tenant=f"h{number}") for number in range(10)]
        await asyncio.sleep(0.001)
        lost = [task for task in free if task.done()]
        assert len(lost) == 10
        assert lost == free[6:]
        assert all(isinstance(task.exception(), Overloaded) for task in lost)
        with pytest.raises(Overloaded):
            await world.work("free", tenant="late")
        release.set()
        world.holder.cancel()
        await asyncio.gather(world.holder, *free, *high, return_exceptions=True)

    play(scenario, max_queue=16, max_concurrency=2)


def test_a_flood_of_a_higher_rank_leaves_the_lower_its_part_of_the_queue() -> None:
    """So that it has somebody to be served when its turn comes."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        high = [world.spawn("high", rank=2, tenant=f"h{number}") for number in range(16)]
        await asyncio.sleep(0)
        free = [world.spawn("free", tenant=f"f{number}") for number in range(2)]
        await asyncio.sleep(0.001)
        assert sum(task.done() for task in high) == 1
        assert [task.done() for task in free] == [False, True]
        release.set()
        await asyncio.gather(world.holder, *free, *high, return_exceptions=True)

    play(scenario, max_queue=16, max_concurrency=2)


def test_each_rank_has_a_length_of_its_own() -> None:
    """Beyond it, calls are refused although the queue has room."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        waiting = [world.spawn(rank=1, tenant="a") for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded) as refused:
            await world.work(rank=1, tenant="a")
        assert refused.value.retry_delay_s is not None
        other = world.spawn(rank=0)
        await asyncio.sleep(0)
        assert not other.done()
        release.set()
        await asyncio.gather(world.holder, other, *waiting, return_exceptions=True)

    play(scenario, max_queue=16, table=RankTable((RankShare(0, 1, 3), RankShare(1, 4, 3))))


def test_who_expired_goes_before_anybody_else() -> None:
    """After the loop was blocked, places of those who can no longer be served are free, and nobody is pushed out."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=2)
        old = [world.spawn(tenant=f"old-{number}", left_s=0.11) for number in range(4)]
        await asyncio.sleep(0)
        world.loop.now_s += 0.06
        fresh = [world.spawn(tenant=f"fresh-{number}") for number in range(4)]
        await asyncio.sleep(0)
        assert all(isinstance(task.exception(), DeadlineUnreachable) for task in old if task.done())
        assert not any(task.done() for task in fresh)
        release.set()
        await asyncio.gather(world.holder, *old, *fresh, return_exceptions=True)

    assert play(scenario, max_queue=4).limiter.stats.pushed_out == 0


def test_in_lasting_overload_the_newest_go_before_those_who_waited_half_their_time_away() -> None:
    """The oldest would be served with little left, one after another; it is left to expire."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=1)
        old = world.spawn("old", left_s=0.3, takes_s=0.01)
        await asyncio.sleep(0.125)
        new = world.spawn("new", left_s=0.3, takes_s=0.01)
        await asyncio.sleep(0.001)
        release.set()
        await new
        assert world.started[0] == "new"
        await asyncio.gather(world.holder, old, return_exceptions=True)

    play(scenario, max_concurrency=1)


def test_refusals_say_when_to_come_back_by_rank() -> None:
    """The lower rank's line is served slower, so its callers are told to wait longer."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=16)
        tasks = [world.spawn(rank=rank, tenant=f"{rank}-{n}") for rank in (0, 2) for n in range(20)]
        await asyncio.sleep(0)
        low, high = world.limiter.lanes[0], world.limiter.lanes[2]
        assert world.limiter.room.come_back_s(low) > world.limiter.room.come_back_s(high)
        with pytest.raises(DeadlineUnreachable) as told:
            await world.work(tenant="hurried", left_s=0.05)
        assert told.value.retry_delay_s is not None
        release.set()
        await asyncio.gather(world.holder, *tasks, return_exceptions=True)

    play(scenario, max_concurrency=16, max_queue=100)


def test_utilisation_counts_a_rank_and_those_above() -> None:
    """A flood of the lowest rank is no load in the eyes of the highest."""

    async def scenario(world: World) -> None:
        tasks = [world.spawn(rank=0, tenant=f"t{n}") for n in range(6)] + [world.spawn(rank=2, tenant="h")]
        await asyncio.sleep(0)
        assert [world.limiter.utilisation_of(rank) for rank in (0, 1, 2, 3)] == [1.75, 0.25, 0.25, 0]
        assert world.limiter.pressure() == 1.75
        await asyncio.gather(*tasks, return_exceptions=True)

    play(scenario, max_concurrency=4)


def test_one_tenant_counts_for_a_quarter_of_the_limit_at_most() -> None:
    """However many slots it borrows and however long its line is; the pressure tells all of it."""

    async def scenario(world: World) -> None:
        flood = [world.spawn(rank=1, tenant="flood", takes_s=1) for _ in range(12)]
        await asyncio.sleep(0)
        assert (world.limiter.slots_in_use, world.limiter.waiting) == (8, 4)
        others = [world.spawn(rank=0, tenant=f"t{n}", takes_s=1) for n in range(3)]
        await asyncio.sleep(0)
        assert [world.limiter.utilisation_of(rank) for rank in (0, 1, 2)] == [0.625, 0.25, 0]
        assert world.limiter.pressure() == 15 / 8
        await asyncio.gather(*flood, *others, return_exceptions=True)
        assert not any(lane.held for lane in world.limiter.lanes)

    play(scenario, max_concurrency=8, max_queue=20, max_queue_per_tenant=10)


@pytest.mark.parametrize("seed", range(5))
def test_held_units_by_tenant_add_up(seed: int) -> None:
    """Whoever is served, refused, ended or hung up on; and nothing is kept of who holds nothing."""

    async def scenario(world: World) -> None:
        rng, tasks = random.Random(seed), []
        for _ in range(200):
            tenant, rank, weight = rng.choice("abcd"), rng.randrange(3), rng.choice((0, 0.5, 1, 3))
            left_s, takes_s = rng.choice((0.1, 1, 5)), rng.expovariate(8)
            tasks.append(world.spawn(tenant=tenant, rank=rank, weight=weight, left_s=left_s, takes_s=takes_s))
            await asyncio.sleep(rng.expovariate(40))
            if rng.random() < 0.2:
                rng.choice(tasks).cancel()
            for lane in world.limiter.lanes:
                assert sum(lane.held.values()) == lane.in_use
                assert all(units > 0 for units in lane.held.values())
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(lane.held for lane in world.limiter.lanes)

    play(scenario, max_concurrency=4)


def test_a_flood_is_refused_on_its_own_account() -> None:
    """Refusals behind a tenant's own line are counted apart from those of who had nothing waiting."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=4)
        lane = world.limiter.lanes[0]
        flood = [world.spawn(tenant="flood", left_s=60) for _ in range(20)]
        await asyncio.sleep(0)
        assert (lane.shed, lane.own_refusals.count) == (0, 16), "at its own bound"
        two = world.spawn(tenant="two", left_s=60)
        await asyncio.sleep(0)
        with pytest.raises(DeadlineUnreachable):
            await world.work(tenant="two", left_s=0.001)
        assert (lane.shed, lane.own_refusals.count) == (0, 17)
        with pytest.raises(DeadlineUnreachable):
            await world.work(tenant="hurried", left_s=0.001)
        assert (lane.shed, lane.own_refusals.count) == (1, 17)
        others = [world.spawn(tenant=f"t{n}", left_s=60) for n in range(6)]
        await asyncio.sleep(0)
        assert (lane.shed, lane.own_refusals.count) == (1, 20), "pushed out of a full queue for others: its newest"
        stats = world.limiter.stats
        assert (stats.overloaded, stats.unreachable, stats.pushed_out) == (16, 2, 3)
        release.set()
        await asyncio.gather(world.holder, two, *flood, *others, return_exceptions=True)

    play(scenario, max_concurrency=4, max_queue=8, max_queue_per_tenant=4)


def test_who_waited_in_vain_is_told_by_who_came_before_it() -> None:
    """The first of a tenant that gives up is the region's, those behind it are its tenant's own."""

    async def scenario(world: World) -> None:
        release = await world.holding(weight=4)
        waiting = [world.spawn(tenant=tenant, left_s=0.5) for tenant in ("flood", "flood", "flood", "quiet")]
        await asyncio.gather(*waiting, return_exceptions=True)
        lane = world.limiter.lanes[0]
        assert (lane.shed, lane.own_refusals.count) == (2, 2)
        release.set()
        await world.holder

    play(scenario, max_concurrency=4)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.floats(0.1, 100), min_size=1, max_size=6),
    slots=st.integers(1, 64),
    seed=st.integers(0, 10_000),
)
def test_promises_never_exceed_what_there_is(weights: list[float], slots: int, seed: int) -> None:
    """Whatever the weights: all promises together fit, and some slot can be had by every rank."""
    table = RankTable(RankShare(rank, weight, 100) for rank, weight in enumerate(weights))
    loop = VirtualTimeLoop()
    limiter = CapacityLimiter(
        max_concurrency=slots, max_queue=10, max_queue_per_tenant=10, table=table, clock=loop.time
    )
    loop.close()
    whole = [lane.promised // 1000 for lane in limiter.lanes]
    assert sum(lane.promised for lane in limiter.lanes) <= slots * 1000
    assert all(part >= 1 or sum(whole) < slots for part in whole)
    unknown = random.Random(seed).randrange(-5, 50)
    assert limiter._queue.lane_of(unknown).rank == table.nearest(unknown).rank


def test_the_default_table_is_the_tier_files() -> None:
    """A limiter without a table has the ranks, weights and queues of the default tiers."""
    options: dict[str, Any] = {"max_concurrency": 16, "max_queue": 10_000, "max_queue_per_tenant": 1}
    limiter = CapacityLimiter(**options)
    assert [(lane.rank, lane.promised, lane.queue_length) for lane in limiter.lanes] == [
        (0, 1000, 500),
        (1, 5000, 1000),
        (2, 10_000, 100),
    ]
    on_gpu = CapacityLimiter(**options | {"max_concurrency": 20}, table=rank_table(default_tiers(), "gpu"))
    assert [lane.promised for lane in on_gpu.lanes] == [1000, 4000, 15_000]
