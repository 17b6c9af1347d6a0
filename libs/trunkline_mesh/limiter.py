"""How much a server does at once, who waits, and who is refused or ended for others.

Capacity is counted in slots. A call whose slots are free starts without delay; otherwise it waits (`waiting_room`), or
is refused. Each rank is promised a part of the slots and may borrow what is idle. `rank_queue` says who is next,
`preemption` gets promised slots back from who borrowed them, `adaptive` finds how many slots there should be.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from trunkline_mesh.adaptive import AdaptiveLimit
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded
from trunkline_mesh.hold_time import HoldTime
from trunkline_mesh.limiter_stats import LimiterStats
from trunkline_mesh.parking import ParkedCalls
from trunkline_mesh.preemption import UNITS_PER_SLOT
from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.rank_queue import RankQueue
from trunkline_mesh.slot import Slot
from trunkline_mesh.slot_pool import SlotPool
from trunkline_mesh.waiting_room import WaitingRoom
from trunkline_tiers import RankTable, default_tiers, rank_table

TENANT_PART: Final = 0.25
"""Part of the limit for which one tenant counts at most in `utilisation_of`. Turns and promises protect others from a
tenant that uses idle slots or has a long line of its own, so alone it is no lack of capacity: it stays far below every
level's threshold. Three such tenants at once exceed the first one (0.7 in the default tiers)."""


class CapacityLimiter:
    """Lets at most so many slots be held at once; the rest wait fairly, or not at all.

    One event loop owns it. Nothing here awaits between looking and taking, so no lock is needed.
    """

    def __init__(
        self,
        *,
        max_concurrency: int,
        max_queue: int,
        max_queue_per_tenant: int,
        table: RankTable | None = None,
        adaptive: AdaptiveLimit | None = None,
        reserved_slots: int = 0,
        clock: Clock = MONOTONIC,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Bound slots (at least 1), waiting calls in all, and waiting calls of one tenant (0 or more).

        `table` has the ranks with their weights and queues, by default those of the default tiers. `adaptive` finds
        the number of slots below `max_concurrency`; without it there are always so many. `reserved_slots` are kept for
        work inside a promise (`RankLane.is_promised`), which then need not wait for borrowed work to end. `clock` must
        tell the time of `Deadline.at_s` and of the event loop; `rng` returns numbers in [0, 1).
        """
        if max_concurrency < 1 or max_queue < 0 or max_queue_per_tenant < 0:
            raise ValueError("a limiter needs at least one slot, and queues of 0 or more")
        table = table if table is not None else rank_table(default_tiers())
        self.clock: Final = clock
        self.stats: Final = LimiterStats()
        self.parked: Final = ParkedCalls()
        self._max_units: Final = max_concurrency * UNITS_PER_SLOT
        self._adaptive: Final = adaptive
        self._queue: Final = RankQueue(table, max_queue)
        self._pool: Final = SlotPool(reserved_slots * UNITS_PER_SLOT)
        self._hold: Final = HoldTime(clock, rng)
        self.room: Final = WaitingRoom(
            self._queue,
            self._pool,
            self._hold,
            self.stats,
            max_queue_per_tenant=max_queue_per_tenant,
            preempt_after_s=table.preempt_after_s,
            clock=clock,
        )
        self.preemption: Final = self.room.preemption
        self._resize(max_concurrency if adaptive is None else adaptive.slots)

    def slot(
        self,
        *,
        tenant: str,
        rank: int,
        weight: float,
        deadline: Deadline,
        kind: str = "",
        preemptible: bool = True,
    ) -> Slot:
        """Return a context manager that holds `weight` slots; entering it gives the seconds waited.

        `weight` is the call's cost in slots, at most the whole capacity counts; 0 neither waits nor holds anything.
        `rank` names the share that it is part of; an unknown one counts as the next lower. `kind` tells calls apart
        whose times differ by nature, such as methods; there must be few. Entering raises Overloaded (with when to come
        back) if there is no room to wait, DeadlineUnreachable (the same) if the wait would take more than half of the
        time left, DeadlineExceeded if none is left. A call that is `preemptible` may be ended while it runs beyond its
        rank's promise: its task is cancelled, and leaving the context raises Preempted in place of CancelledError.
        Raises ValueError for a negative weight.
        """
        if weight < 0:
            raise ValueError("a weight must not be negative")
        cost = min(int(weight * UNITS_PER_SLOT + 0.5), self._max_units)
        return Slot(self, self._queue.lane_of(rank), tenant, cost, deadline, kind, preemptible)

    def pressure(self) -> float:
        """Return slots held and wanted over slots there are: 0 idle, 1 full with nobody waiting, more with a queue."""
        return (self._pool.in_use + self._queue.cost) / self._pool.capacity

    def utilisation_of(self, rank: int) -> float:
        """Return the same of the calls of `rank` and of higher ranks alone, of each tenant at most `TENANT_PART`."""
        at_most = TENANT_PART * self._pool.capacity
        return sum(lane.demand(at_most) for lane in self.lanes if lane.rank >= rank) / self._pool.capacity

    @property
    def lanes(self) -> tuple[RankLane, ...]:
        """What each rank holds and waits for, lowest rank first; to be read only."""
        return self._queue.lanes

    @property
    def limit(self) -> float:
        """Slots that may be held now."""
        return self._pool.capacity / UNITS_PER_SLOT

    @property
    def slots_in_use(self) -> float:
        """Slots held now."""
        return self._pool.in_use / UNITS_PER_SLOT

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return len(self._queue)

    def try_take(self, lane: RankLane, tenant: str, cost: int, deadline_at_s: float, now_s: float) -> bool:
        """Take `cost` units if that passes nobody who waits; raise DeadlineExceeded if the deadline has passed."""
        if deadline_at_s <= now_s:
            self.stats.too_late += 1
            raise DeadlineExceeded
        if cost:
            if len(self._queue) or not self._pool.fits(lane, tenant, cost):
                return False
            self._pool.take(lane, tenant, cost)
        self.stats.at_once += 1
        return True

    def give_back(self, slot: Slot, held_s: float, exc_type: type[BaseException] | None) -> None:
        """Take back the units of a call that held them for `held_s` seconds and ended with `exc_type`; serve others."""
        if not slot.cost:
            return
        if self._hold.learn(held_s) and self._adaptive is not None:
            self._adapt(self._adaptive, slot.kind, held_s, exc_type)
        self.free(slot)

    def free(self, slot: Slot) -> None:
        """Take the units of a call back without learning from it, and serve others."""
        if not slot.cost:
            return
        self._pool.give_back(slot.lane, slot.tenant, slot.cost)
        if len(self._queue):
            self.room.dispatch()

    def _adapt(self, adaptive: AdaptiveLimit, kind: str, held_s: float, exc_type: type[BaseException] | None) -> None:
        """Let the limit learn from a call, which still counts as running."""
        in_use = (self._pool.in_use + self._queue.cost) / UNITS_PER_SLOT
        slots = adaptive.learn(kind, held_s, in_use, self.clock(), failed=exc_type is not None)
        if slots * UNITS_PER_SLOT != self._pool.capacity:
            self._resize(slots)

    def _resize(self, slots: int) -> None:
        self._pool.capacity = slots * UNITS_PER_SLOT
        self._queue.resize(self._pool.capacity)
