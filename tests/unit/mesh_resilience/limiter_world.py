"""A limiter in virtual time, with calls that hold slots for given times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from tests.unit.mesh_resilience.virtual_time import VirtualTimeLoop, run_virtual

from trunkline_mesh.limiter import CapacityLimiter

Scenario = Callable[["World"], Coroutine[Any, Any, None]]


class World:
    """A limiter in virtual time."""

    def __init__(self, loop: VirtualTimeLoop, **bounds: Any) -> None:
        self.loop = loop
        settings = {"max_concurrency": 2, "max_queue": 8, "max_queue_per_tenant": 4} | bounds
        self.limiter = CapacityLimiter(**settings, clock=loop.time, rng=lambda: 0.0)
        self.started: list[str] = []
        """Names of calls, as they got their slots."""

    async def work(
        self,
        name: str = "work",
        *,
        tenant: str = "t",
        rank: int = 0,
        weight: float = 1.0,
        left_s: float = 10.0,
        takes_s: float = 0.05,
        preemptible: bool = True,
    ) -> float:
        slot = self.limiter.slot(
            tenant=tenant, rank=rank, weight=weight, deadline=self.loop.deadline(left_s), preemptible=preemptible
        )
        async with slot as waited_s:
            self.started.append(name)
            await asyncio.sleep(takes_s)
        return waited_s

    def spawn(self, name: str = "work", **options: Any) -> asyncio.Task[float]:
        return self.loop.create_task(self.work(name, **options))

    async def holding(self, *, weight: float = 1.0) -> asyncio.Event:
        """Take slots until the returned event is set."""
        release, held = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            deadline = self.loop.deadline(1e6)
            async with self.limiter.slot(tenant="holder", rank=0, weight=weight, deadline=deadline):
                held.set()
                await release.wait()

        self.holder = self.loop.create_task(hold())
        await held.wait()
        return release


def play(scenario: Scenario, **bounds: Any) -> World:
    loop = VirtualTimeLoop()
    world = World(loop, **bounds)
    run_virtual(scenario(world), loop)
    assert world.limiter.slots_in_use == 0
    assert world.limiter.waiting == 0
    assert world.limiter.pressure() == 0
    return world
