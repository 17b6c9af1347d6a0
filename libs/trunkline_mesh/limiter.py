"""How much a server does at once, who waits, and who is refused or ended for others.

Capacity is counted in slots. A call whose slots are free starts without delay. Otherwise it waits in a weighted fair
queue, but only as long as waiting can pay: at most the smaller of the predicted wait and half of the deadline that is
left, so that the other half remains for the work. Whoever cannot be served within that is refused at once.

Each rank is promised a part of the slots and may borrow what is idle. `rank_queue` says who is next, `preemption` gets
promised slots back from who borrowed them, `adaptive` finds how many slots there should be.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from trunkline_mesh.adaptive import AdaptiveLimit
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded
from trunkline_mesh.hold_time import MIN_PREDICTED_WAIT_S, HoldTime
from trunkline_mesh.limiter_stats import LimiterStats
from trunkline_mesh.parking import ParkedCalls
from trunkline_mesh.preemption import UNITS_PER_SLOT, Preemption
from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.rank_queue import RankQueue
from trunkline_mesh.slot import Slot
from trunkline_mesh.waiter import Waiter
from trunkline_tiers import RankTable, default_tiers, rank_table

PREDICTION_HEADROOM: Final = 4.0
"""The predicted wait is this many times its mean: with random service times few waits are longer."""
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
        work inside a promise (`RankLane.has_part`), which then need not wait for borrowed work to end. `clock` must
        tell the time of `Deadline.at_s` and of the event loop; `rng` returns numbers in [0, 1).
        """
        if max_concurrency < 1 or max_queue < 0 or max_queue_per_tenant < 0:
            raise ValueError("a limiter needs at least one slot, and queues of 0 or more")
        table = table if table is not None else rank_table(default_tiers())
        self.clock: Final = clock
        self.stats: Final = LimiterStats()
        self.parked: Final = ParkedCalls()
        self._max_units: Final = max_concurrency * UNITS_PER_SLOT
        self._max_queue_per_tenant: Final = max_queue_per_tenant
        self._reserved: Final = reserved_slots * UNITS_PER_SLOT
        self._adaptive: Final = adaptive
        self._queue: Final = RankQueue(table, max_queue)
        self._hold: Final = HoldTime(clock, rng)
        self.preemption: Final = Preemption(self._queue, table.preempt_after_s, self._dispatch)
        self._in_use = 0
        self._capacity = 0
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
        return (self._in_use + self._queue.cost) / self._capacity

    def utilisation_of(self, rank: int) -> float:
        """Return the same of the calls of `rank` and of higher ranks alone, of each tenant at most `TENANT_PART`."""
        at_most = TENANT_PART * self._capacity
        return sum(lane.demand(at_most) for lane in self.lanes if lane.rank >= rank) / self._capacity

    @property
    def lanes(self) -> tuple[RankLane, ...]:
        """What each rank holds and waits for, lowest rank first; to be read only."""
        return self._queue.lanes

    @property
    def limit(self) -> float:
        """Slots that may be held now."""
        return self._capacity / UNITS_PER_SLOT

    @property
    def slots_in_use(self) -> float:
        """Slots held now."""
        return self._in_use / UNITS_PER_SLOT

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return len(self._queue)

    def come_back_s(self, lane: RankLane) -> float:
        """Return what a refused caller is told: when who waits now in its lane, and who runs, is done."""
        units = self._queue.units_in_line(lane) + self._in_use
        return self._hold.come_back_s(self._hold.to_serve_s(units, self._capacity))

    def try_take(self, lane: RankLane, tenant: str, cost: int, deadline_at_s: float, now_s: float) -> bool:
        """Take `cost` units if that passes nobody who waits; raise DeadlineExceeded if the deadline has passed."""
        if deadline_at_s <= now_s:
            self.stats.too_late += 1
            raise DeadlineExceeded
        if cost:
            if len(self._queue) or not self._fits(lane, tenant, cost):
                return False
            self._in_use += cost
            lane.take(tenant, cost)
        self.stats.at_once += 1
        return True

    async def take_in_turn(
        self, lane: RankLane, tenant: str, cost: int, deadline: Deadline, now_s: float, *, resumed: bool = False
    ) -> float:
        """Wait for `cost` units and return the time at which they were taken; raises as `slot` says.

        A call that is `resumed` was let in before: no bound of the queue keeps it out.
        """
        waiter = self._enqueue(lane, tenant, cost, deadline.at_s - now_s, now_s, resumed=resumed)
        timer = asyncio.get_running_loop().call_later(waiter.expires_at_s - now_s, self._give_up, waiter)
        try:
            refusal = await waiter.turn
        except BaseException:  # cancelled; whatever it is, a slot must not be lost
            self.stats.cancelled += not waiter.is_refused()
            self._leave(lane, waiter)
            raise
        finally:
            timer.cancel()
        if refusal is not None:
            raise refusal
        taken_at_s = self.clock()
        if deadline.at_s <= taken_at_s:  # the loop was blocked between the grant and now
            self.stats.too_late += 1
            self._leave(lane, waiter)
            raise DeadlineExceeded
        self.stats.after_wait += 1
        return taken_at_s

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
        self._in_use -= slot.cost
        slot.lane.give_back(slot.tenant, slot.cost)
        if len(self._queue):
            self._dispatch()

    def _adapt(self, adaptive: AdaptiveLimit, kind: str, held_s: float, exc_type: type[BaseException] | None) -> None:
        """Let the limit learn from a call, which still counts as running."""
        in_use = (self._in_use + self._queue.cost) / UNITS_PER_SLOT
        slots = adaptive.learn(kind, held_s, in_use, self.clock(), failed=exc_type is not None)
        if slots * UNITS_PER_SLOT != self._capacity:
            self._resize(slots)

    def _resize(self, slots: int) -> None:
        self._capacity = slots * UNITS_PER_SLOT
        self._queue.resize(self._capacity)

    def _fits(self, lane: RankLane, tenant: str, cost: int) -> bool:
        """Return True if there is room. A call that is larger than a shrunken limit has it while nothing else runs."""
        free = self._capacity - self._in_use - cost
        return free >= self._reserved or (free >= 0 and lane.has_part(tenant, cost)) or not self._in_use

    def _enqueue(self, lane: RankLane, tenant: str, cost: int, left_s: float, now_s: float, *, resumed: bool) -> Waiter:
        queue, promised = self._queue, lane.is_promised_in_turn(cost)
        length = lane.queue.length_of(tenant)
        behind_own = length > 0
        if length >= self._max_queue_per_tenant and not resumed:
            raise self._overloaded(lane, behind_own=behind_own)
        mean_s = self._hold.to_serve_s(queue.units_ahead(lane, tenant, cost), self._capacity)
        if promised:
            mean_s = min(mean_s, self.preemption.after_s)
        half_s = left_s / 2
        if mean_s > half_s:
            self.stats.unreachable += 1
            lane.refuse(behind_own=behind_own)
            raise DeadlineUnreachable(retry_delay_s=self._hold.come_back_s(mean_s - half_s))
        if not resumed:
            self._make_room_for(lane, tenant, cost, now_s, behind_own=behind_own)
        # Calls that began together end together: however short the line, the next one may take a whole hold.
        predicted_s = max(MIN_PREDICTED_WAIT_S, self._hold.mean_s, PREDICTION_HEADROOM * mean_s)
        at_half = promised or half_s <= predicted_s  # what is promised comes, if its deadline allows
        patience_s = half_s if at_half else predicted_s
        waiter = Waiter(
            lane.rank, tenant, cost, asked_at_s=now_s, patience_s=patience_s, at_half=at_half, behind_own=behind_own
        )
        queue.push(waiter)
        self._dispatch()  # the newcomer may be first in turn, and fit where the former first did not
        return waiter

    def _make_room_for(self, lane: RankLane, tenant: str, cost: int, now_s: float, *, behind_own: bool) -> None:
        """Find a place in the queue: of who expired, else of whoever has less right to it, else raise Overloaded."""
        queue = self._queue
        if len(queue) < queue.max_queue and len(lane.queue) < lane.queue_length:
            return
        for waiter in queue.expired(now_s):
            self._give_up(waiter)
        if len(queue) < queue.max_queue and len(lane.queue) < lane.queue_length:
            return
        loser = queue.gives_way(lane, tenant, cost)
        if loser is None:
            raise self._overloaded(lane, behind_own=behind_own)
        queue.discard(loser)
        if not loser.turn.done():
            losing = queue.lane_of(loser.rank)
            self.stats.pushed_out += 1
            losing.refuse(behind_own=loser.behind_own)
            loser.turn.set_result(Overloaded(retry_delay_s=self.come_back_s(losing)))

    def _dispatch(self) -> None:
        """Grant free units to those whose turn it is; drop those who left or whose time to wait is over."""
        queue, now_s = self._queue, self.clock()
        while (turn := queue.first(now_s)) is not None:
            lane, first = turn
            if first.turn.done() or first.expires_at_s <= now_s:
                queue.discard(first)
                self._refuse_expired(first)
            elif self._fits(lane, first.tenant, first.cost):
                queue.pop(lane)
                self._in_use += first.cost
                lane.take(first.tenant, first.cost)
                first.granted = True
                first.turn.set_result(None)
            else:
                self.preemption.look(now_s, self._capacity - self._in_use)
                return

    def _give_up(self, waiter: Waiter) -> None:
        """End a wait whose time is over; timer of `take_in_turn`."""
        if self._queue.discard(waiter):
            self._refuse_expired(waiter)
            self._dispatch()  # it may have been first, and too large for what is free

    def _refuse_expired(self, waiter: Waiter) -> None:
        if waiter.turn.done():  # cancelled; its task will find out by itself
            return
        lane = self._queue.lane_of(waiter.rank)
        if waiter.at_half:
            self.stats.unreachable += 1
            lane.refuse(behind_own=waiter.behind_own)
            waiter.turn.set_result(DeadlineUnreachable(retry_delay_s=self.come_back_s(lane)))
        else:
            waiter.turn.set_result(self._overloaded(lane, behind_own=waiter.behind_own))

    def _leave(self, lane: RankLane, waiter: Waiter) -> None:
        """Take a waiter out that will not run. If it had its turn already, the turn passes on."""
        if waiter.granted:
            self._in_use -= waiter.cost
            lane.give_back(waiter.tenant, waiter.cost)
        else:
            self._queue.discard(waiter)
        self._dispatch()

    def _overloaded(self, lane: RankLane, *, behind_own: bool) -> Overloaded:
        """Count and build a refusal."""
        self.stats.overloaded += 1
        lane.refuse(behind_own=behind_own)
        return Overloaded(retry_delay_s=self.come_back_s(lane))
