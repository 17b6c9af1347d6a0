"""Slots that are kept for promised work."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.mesh_resilience.limiter_world import World, play

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Preempted
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.preemption import UNITS_PER_SLOT
from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.waiter import Waiter
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


def test_a_neighbours_flood_is_ended_for_who_is_inside_the_same_promise() -> None:
    """The flooder's newest call, as late as any borrowed one; no other's, and none for the flooder."""

    async def scenario(world: World) -> None:
        flood = []
        for number in range(4):
            flood.append(world.spawn(f"flood-{number}", tenant="flooder", rank=1, takes_s=9.0))
            await asyncio.sleep(0.001)
        behind = world.spawn("behind", tenant="flooder", rank=1, takes_s=9.0, left_s=30.0)
        await asyncio.sleep(0.2)
        assert not any(task.done() for task in flood)
        assert await world.work("quiet", tenant="quiet", rank=1) == pytest.approx(0.05)
        with pytest.raises(Preempted):
            await flood[3]
        await asyncio.gather(*flood[:3])
        await asyncio.gather(behind, return_exceptions=True)

    assert play(scenario, max_concurrency=4, table=TWO_RANKS).limiter.stats.preempted == 1


def lane_of(promised: int, **held: int) -> RankLane:
    """Return a rank that is promised so many slots, with what its tenants hold."""
    lane = RankLane(RankShare(2, 10, 100), 0.6, 100)
    lane.promised = promised * UNITS_PER_SLOT
    for tenant, slots in held.items():
        for _ in range(slots):
            lane.take(tenant, UNITS_PER_SLOT)
    return lane


def test_who_floods_is_beyond_its_promise_and_its_neighbours_are_not() -> None:
    """Of a rank beyond its promise each tenant is inside that holds no more than is left for all alike."""
    lane = lane_of(8, flooder=9, busy=2)
    assert not lane.is_promised("flooder", UNITS_PER_SLOT)
    assert lane.is_promised("other", UNITS_PER_SLOT)
    assert lane.is_promised("busy", UNITS_PER_SLOT)
    lane.take("busy", UNITS_PER_SLOT)
    lane.take("busy", UNITS_PER_SLOT)
    assert not lane.is_promised("busy", UNITS_PER_SLOT), "it would have as much as the flooder may"
    assert not lane.is_promised("other", UNITS_PER_SLOT, 7 * UNITS_PER_SLOT), "what is spoken for is not to be had"


@given(st.integers(0, 12), st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 9), max_size=6))
def test_what_is_inside_a_promise_is_never_more_than_the_promise(promised: int, held: dict[str, int]) -> None:
    """And who is beyond it holds more than everybody who is inside."""
    lane = lane_of(promised, **held)
    inside = [slots for tenant, slots in held.items() if lane.is_promised(tenant, 0)]
    beyond = [slots for tenant, slots in held.items() if not lane.is_promised(tenant, 0)]
    assert sum(inside) <= promised
    assert not beyond or not inside or min(beyond) > max(inside)
    assert beyond or lane.in_use <= lane.promised


@dataclass(eq=False)
class Waiting:
    """A call that waits."""

    tenant: str
    cost: int = UNITS_PER_SLOT
    weight: float = 1.0


@given(
    st.integers(0, 12),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5), max_size=4),
    st.lists(st.sampled_from("abcd"), max_size=6),
)
def test_a_line_counts_as_if_it_ran(promised: int, held: dict[str, int], line: list[str]) -> None:
    """Who comes is inside with all that waits before it, or is not."""
    lane = lane_of(promised, **held)
    for tenant in line:
        lane.queue.push(cast("Waiter", Waiting(tenant)))
    served = Counter(held) + Counter(line)
    for tenant in "abcd":
        alone = lane_of(promised, **served).is_promised(tenant, UNITS_PER_SLOT)
        assert lane.is_promised_in_turn(tenant, UNITS_PER_SLOT) == alone
