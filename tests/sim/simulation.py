"""One run: a world, its traffic and its events from beginning to end, in virtual time."""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable, Sequence
from typing import Final

from tests.sim.events import Event, EventKind
from tests.sim.fleet import Fleet
from tests.sim.laws import Laws
from tests.sim.loop import VirtualLoop
from tests.sim.outcomes import Outcomes
from tests.sim.plan import RunPlan, RunResult
from tests.sim.quota_book import QuotaBook
from tests.sim.quota_parts import QuotaParts, open_quota
from tests.sim.region import DEADLINE_FACTOR, Region
from tests.sim.server import Server
from tests.sim.traffic import MINUTE_S, Arrivals, Traffic, busy_slots
from tests.sim.world import DAY_STARTS_S, REGIONS, World
from trunkline_tiers import rank_table

MOST_OPEN: Final = 200_000
"""Requests under way at once; more means that nothing is answered any more."""
DRAIN_S: Final = 60.0
"""Time for what is under way at the end."""
Say = Callable[[str], None]


class Simulation:
    """Puts the parts together and lets the time pass."""

    def __init__(self, world: World, plan: RunPlan, events: Sequence[Event], say: Say) -> None:
        self._world = world
        self._plan = plan
        self._events = events
        self._say = say
        self.loop: Final = VirtualLoop(plan.start_s)
        self.laws: Final = Laws()
        self.outcomes: Final = Outcomes(world.tiers, plan.start_s, plan.length_s, plan.spans)
        self._dirty: dict[Server, None] = {}
        self._slots: list[dict[str, int]] = []
        homes = {tenant.tenant_id: (tenant.tier, world.time_zone(tenant)) for tenant in world.tenants}
        self.book: Final = QuotaBook(world.tiers, homes, self.laws, self.unix_s)
        self.regions: tuple[Region, ...] = ()
        self.loop.before_jump = self._look

    def unix_s(self) -> float:
        """Return the simulated wall clock."""
        return DAY_STARTS_S + self.loop.time()

    def run(self) -> RunResult:
        """Run to the end and judge it."""
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        gc.collect()
        gc.freeze()  # the world stays: no need to look through it again and again
        try:
            parts = self.loop.run_until_complete(self._run())
        finally:
            gc.unfreeze()
            asyncio.set_event_loop(None)
            self.loop.close()
        servers = [server for region in self.regions for server in (region.store, *region.fleet.all_servers)]
        for server in servers:
            server.close()
        for pools in parts.pools:
            pools.close()
        return RunResult(
            self._plan,
            self.outcomes,
            self.laws,
            self._events,
            self._slots,
            [wait_s for server in servers for wait_s in server.book.reclaims_s],
            [wait_s for pools in parts.pools for wait_s in pools.shares.reclaims_s],
            parts.pools[0].reclaim_bound_s,
            [wait_s for pools in parts.pools for wait_s in pools.refused_s],
            sum(region.fleet.losses for region in self.regions),
            sum(server.preempted for server in servers),
            len(self._world.tenants),
            time.perf_counter() - began_s,
            time.process_time() - began_cpu_s,
            sum(region.holder.stats.asks for region in self.regions),
            sum(store.calls for store in parts.stores),
        )

    async def _run(self) -> QuotaParts:
        async with open_quota(self._world, self._plan.times, self.book, self.laws, self.loop, self.unix_s) as parts:
            self.regions = tuple(self._region(number, name, parts) for number, name in enumerate(REGIONS))
            for region in self.regions:
                region.fleet.begin()
            for event in self._events:
                if event.kind is EventKind.CRUNCH:
                    self._crunch(event)
            await self._feed()
            await self._drain()
        return parts

    def _region(self, number: int, name: str, parts: QuotaParts) -> Region:
        plan, tiers = self._plan, self._world.tiers
        queue_table, gpu_table = rank_table(tiers), rank_table(tiers, "gpu")
        rng = random.Random(f"{plan.seed} {name}")

        def gpu(which: int) -> Server:
            return Server(
                f"{name}.gpu{which}", plan.fleet.slots_per_gpu, gpu_table, self.laws, self.loop, self._dirty, rng
            )

        return Region(
            name,
            parts.holders[number],
            Server(f"{name}.store", plan.store_slots, queue_table, self.laws, self.loop, self._dirty, rng),
            Fleet(plan.fleet, busy_slots(self._world, name, plan.start_s), gpu, self.loop, rng),
            self.book,
            self.outcomes,
            {tier: DEADLINE_FACTOR * each.objective.p95_ms / 1000 for tier, each in tiers.tiers.items()},
            self.loop,
            rng,
        )

    def _crunch(self, event: Event) -> None:
        fleet = self.regions[REGIONS.index(event.region)].fleet
        self.loop.call_at(event.start_s, fleet.begin_crunch)
        self.loop.call_at(event.end_s, fleet.end_crunch)

    async def _feed(self) -> None:
        """Start every search when it arrives."""
        loop, regions, plan = self.loop, self.regions, self._plan
        traffic = Traffic(self._world, self._events, plan.seed)
        span_s, span_ends_s = plan.length_s / plan.spans, plan.start_s
        for minute, arrivals in enumerate(traffic.spans(plan.start_s, plan.length_s)):
            if plan.start_s + minute * MINUTE_S >= span_ends_s:
                span_ends_s += span_s
                self._slots.append({region.name: region.fleet.slots for region in regions})
            await loop.feed(arrivals.at_s, self._starter(arrivals))
            self._check(minute)

    def _starter(self, arrivals: Arrivals) -> Callable[[int], None]:
        """Return what starts the search of a number."""
        loop, tenants, regions = self.loop, self._world.tenants, self.regions
        tenant_of, region_of, leaves_s = arrivals.tenant, arrivals.region, arrivals.leaves_after_s
        store_s, model_s = arrivals.store_s, arrivals.model_s

        def start(number: int) -> None:
            search = regions[region_of[number]].search(
                tenants[tenant_of[number]], store_s[number], model_s[number], leaves_s[number]
            )
            asyncio.Task(search, loop=loop, name="search")  # held by what it waits for; tells its own crash

        return start

    def _check(self, minute: int) -> None:
        """Look, once a minute, whether the run still makes sense."""
        self._raise_crash()
        still_open = sum(region.open for region in self.regions)
        if still_open > MOST_OPEN:
            raise RuntimeError(f"{still_open} requests are under way: nothing is answered any more")
        if minute % 60 == 59 or self._plan.length_s <= 3600:
            self._say(
                f"{self._plan.name}: minute {minute + 1}, {self.outcomes.requests} requests, "
                f"{still_open} under way, violations: {self.laws.summary()}"
            )

    async def _drain(self) -> None:
        ends_s = self.loop.time() + DRAIN_S
        while any(region.open for region in self.regions) and self.loop.time() < ends_s:
            await self.loop.sleep(0.1)
        self._raise_crash()

    def _raise_crash(self) -> None:
        for region in self.regions:
            if region.crash is not None:
                raise region.crash

    def _look(self) -> None:
        """Judge every server in which something happened in the instant that ends now."""
        if self._dirty:
            for server in self._dirty:
                if server.book.waiting:
                    server.look()
            self._dirty.clear()
