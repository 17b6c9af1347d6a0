"""Slots that are kept for promised work."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.preemption import UNITS_PER_SLOT
from trunkline_mesh.rank_lane import RankLane
from trunkline_tiers import RankShare, RankTable

TWO_RANKS = RankTable([RankShare(0, 1, 100), RankShare(1, 3, 100)])


async def test_a_reserved_slot_is_there_for_promised_work_at_once() -> None:
    """Borrowers leave it free, however many wait; a tenant beyond its part of the promise is a borrower, too."""
    limiter = CapacityLimiter(
        max_concurrency=4, max_queue=100, max_queue_per_tenant=100, table=TWO_RANKS, reserved_slots=1
    )
    async with AsyncExitStack() as held:
        for _ in range(3):
            await held.enter_async_context(limiter.slot(tenant="low", rank=0, weight=1, deadline=Deadline.after(60)))
        waiting = [
            asyncio.ensure_future(
                held.enter_async_context(limiter.slot(tenant="low", rank=0, weight=1, deadline=Deadline.after(60)))
            )
            for _ in range(5)
        ]
        await asyncio.sleep(0)
        assert (limiter.slots_in_use, limiter.waiting) == (3, 5)
        waited_s = await held.enter_async_context(
            limiter.slot(tenant="high", rank=1, weight=1, deadline=Deadline.after(60))
        )
        assert waited_s < 0.05, "it was granted in the same turn of the loop"
        assert limiter.slots_in_use == 4
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


def test_who_floods_is_beyond_its_part_and_its_neighbours_are_not() -> None:
    """A promise is divided among those who hold some of it."""
    lane = RankLane(RankShare(2, 10, 100), 0.6, 100)
    lane.promised = 8 * UNITS_PER_SLOT
    for _ in range(9):
        lane.take("flooder", UNITS_PER_SLOT)
    assert not lane.is_promised(UNITS_PER_SLOT)
    assert not lane.has_part("flooder", UNITS_PER_SLOT)
    assert lane.has_part("other", UNITS_PER_SLOT)
