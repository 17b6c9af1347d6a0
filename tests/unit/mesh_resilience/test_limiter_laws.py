"""Laws of the limiter under random arrivals, departures and late event loops: seeded, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from tests.unit.mesh_resilience.virtual_time import VirtualTimeLoop, run_virtual

from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded, Preempted
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.preemption import UNITS_PER_SLOT

SEEDS_EACH = 60
TENANTS = ("a", "b", "c", "d", "e")
WEIGHTS = (0.25, 0.5, 1.0, 1.0, 1.0, 2.0, 7.0)
ALLOWED = (Overloaded, DeadlineUnreachable, DeadlineExceeded, Preempted, asyncio.CancelledError)


@dataclass
class Run:
    """One random history and what it must keep to."""

    rng: random.Random
    loop: VirtualTimeLoop
    limiter: CapacityLimiter
    max_concurrency: int
    max_queue: int
    max_queue_per_tenant: int
    units: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)

    async def call(self, tenant: str) -> None:
        weight = self.rng.choice(WEIGHTS)
        left_s = self.rng.choice((0.0, 0.01, 0.1, 1.0, 10.0))
        deadline = self.loop.deadline(left_s)
        asked_s = self.loop.time()
        units = min(round(weight * UNITS_PER_SLOT), self.max_concurrency * UNITS_PER_SLOT)
        try:
            slot = self.limiter.slot(tenant=tenant, rank=self.rng.randrange(3), weight=weight, deadline=deadline)
            async with slot as waited_s:
                assert not deadline.at_s <= self.loop.time(), "expired work was started"
                assert waited_s == pytest.approx(self.loop.time() - asked_s)
                self.units += units
                self.check()
                try:
                    await asyncio.sleep(self.rng.expovariate(20.0))
                finally:
                    self.units -= units
            self.outcomes["served"] += 1
        except ALLOWED as exc:
            self.outcomes[type(exc).__name__] += 1
            if isinstance(exc, asyncio.CancelledError):
                raise

    def check(self) -> None:
        assert self.units <= self.max_concurrency * UNITS_PER_SLOT, "more was granted than there is"
        assert self.units <= round(self.limiter.slots_in_use * UNITS_PER_SLOT)
        assert self.limiter.waiting <= self.max_queue
        turn = self.limiter._queue.first(self.loop.time())
        if turn is not None and not turn[1].turn.done() and turn[1].expires_at_s > self.loop.time():
            used = turn[1].cost + self.limiter.slots_in_use * UNITS_PER_SLOT
            assert used > self.max_concurrency * UNITS_PER_SLOT, "somebody waits although there is room"
        lines = Counter((lane.rank, waiter.tenant) for lane in self.limiter.lanes for waiter in lane.queue)
        assert not lines or max(lines.values()) <= self.max_queue_per_tenant

    async def play(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        for _ in range(self.rng.randrange(20, 120)):
            tasks.append(self.loop.create_task(self.call(self.rng.choice(TENANTS))))
            for _ in range(self.rng.randrange(3)):
                await asyncio.sleep(0)
            if self.rng.random() < 0.25:
                self.rng.choice(tasks).cancel()
            if self.rng.random() < 0.05:
                self.loop.now_s += self.rng.choice((0.02, 0.5))  # the loop was blocked
            if self.rng.random() < 0.4:
                await asyncio.sleep(self.rng.expovariate(50.0))
            self.check()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            assert task.cancelled() or task.exception() is None
        self.outcomes["cancelled tasks"] = sum(task.cancelled() for task in tasks)


def history(seed: int) -> Run:
    rng = random.Random(seed)
    loop = VirtualTimeLoop()
    slots, queue, line = rng.choice((1, 2, 3, 8)), rng.choice((0, 1, 5, 20)), rng.choice((0, 1, 3, 20))
    limiter = CapacityLimiter(
        max_concurrency=slots, max_queue=queue, max_queue_per_tenant=line, clock=loop.time, rng=rng.random
    )
    run = Run(rng, loop, limiter, slots, queue, line)
    run_virtual(run.play(), loop)
    return run


@pytest.mark.parametrize("first_seed", range(0, 10 * SEEDS_EACH, SEEDS_EACH))
def test_no_slot_is_lost_and_nobody_waits_for_ever(first_seed: int) -> None:
    """Whatever comes, leaves and is late: bounds hold, all slots come back, and nobody is stuck."""
    seen: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + SEEDS_EACH):
        run = history(seed)
        assert run.limiter.slots_in_use == 0, f"slots leaked with seed {seed}"
        assert run.limiter.waiting == 0, f"somebody still waits with seed {seed}"
        seen += run.outcomes
    kinds = {"served", "Overloaded", "DeadlineUnreachable", "DeadlineExceeded", "Preempted"}
    assert kinds <= set(seen), "the histories are too tame"


@pytest.mark.parametrize("seed", range(20))
def test_waiting_tenants_of_one_rank_are_served_alike(seed: int) -> None:
    """While all keep waiting, no tenant gets more than two calls ahead of another, whoever asks more."""
    rng = random.Random(seed)
    loop = VirtualTimeLoop()
    limiter = CapacityLimiter(max_concurrency=2, max_queue=1000, max_queue_per_tenant=1000, clock=loop.time)
    order: list[str] = []

    async def call(tenant: str) -> None:
        async with limiter.slot(tenant=tenant, rank=1, weight=1.0, deadline=loop.deadline(1e6)):
            order.append(tenant)
            await asyncio.sleep(rng.uniform(0.01, 0.09))

    async def scenario() -> None:
        blocked = [loop.create_task(call("first")) for _ in range(2)]
        await asyncio.sleep(0)
        asked = [tenant for tenant, count in (("a", 30), ("b", 60), ("c", 120)) for _ in range(count)]
        rng.shuffle(asked)
        tasks = [loop.create_task(call(tenant)) for tenant in asked]
        await asyncio.gather(*blocked, *tasks, return_exceptions=True)

    run_virtual(scenario(), loop)
    served: Counter[str] = Counter()
    for tenant in order[2:]:
        served[tenant] += 1
        if max(served.values()) >= 20:
            break
        assert max(served.values()) - min(served[t] for t in ("a", "b", "c")) <= 2
