"""Those who wait for slots: how long waiting can pay, who is next, and who has to leave.

A call waits only as long as waiting can pay: at most the smaller of the predicted wait and half of the deadline that is
left, so that the other half remains for the work. Whoever cannot be served within that is refused at once.
"""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, Overloaded
from trunkline_mesh.hold_time import MIN_PREDICTED_WAIT_S, HoldTime
from trunkline_mesh.limiter_stats import LimiterStats
from trunkline_mesh.preemption import Preemption
from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.rank_queue import RankQueue
from trunkline_mesh.slot_pool import SlotPool
from trunkline_mesh.waiter import Waiter

PREDICTION_HEADROOM: Final = 4.0
"""The predicted wait is this many times its mean: with random service times few waits are longer."""


class WaitingRoom:
    """The queue of a limiter, with its timers. One event loop owns it.

    Nothing here awaits between looking and taking, so no lock is needed.
    """

    def __init__(
        self,
        queue: RankQueue,
        pool: SlotPool,
        hold: HoldTime,
        stats: LimiterStats,
        *,
        max_queue_per_tenant: int,
        preempt_after_s: float,
        clock: Clock,
    ) -> None:
        """Let calls wait in `queue` for units of `pool`, which are held as long as `hold` has learned."""
        self.preemption: Final = Preemption(queue, preempt_after_s, self.dispatch)
        self._queue: Final = queue
        self._pool: Final = pool
        self._hold: Final = hold
        self._stats: Final = stats
        self._max_queue_per_tenant: Final = max_queue_per_tenant
        self._clock: Final = clock

    def __len__(self) -> int:
        return len(self._queue)

    def come_back_s(self, lane: RankLane) -> float:
        """Return what a refused caller is told: when who waits now in its lane, and who runs, is done."""
        units = self._queue.units_in_line(lane) + self._pool.in_use
        return self._hold.come_back_s(self._hold.to_serve_s(units, self._pool.capacity))

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
            self._stats.cancelled += not waiter.is_refused()
            self._leave(lane, waiter)
            raise
        finally:
            timer.cancel()
        if refusal is not None:
            raise refusal
        taken_at_s = self._clock()
        if deadline.at_s <= taken_at_s:  # the loop was blocked between the grant and now
            self._stats.too_late += 1
            self._leave(lane, waiter)
            raise DeadlineExceeded
        self._stats.after_wait += 1
        return taken_at_s

    def dispatch(self) -> None:
        """Grant free units to those whose turn it is; drop those who left or whose time to wait is over."""
        queue, now_s = self._queue, self._clock()
        while (turn := queue.first(now_s)) is not None:
            lane, first = turn
            if first.turn.done() or first.expires_at_s <= now_s:
                queue.discard(first)
                self._refuse_expired(first)
            elif self._pool.fits(lane, first.tenant, first.cost):
                queue.pop(lane)
                self._pool.take(lane, first.tenant, first.cost)
                first.granted = True
                first.turn.set_result(None)
            else:
                self.preemption.look(now_s, self._pool.free)
                return

    def _enqueue(self, lane: RankLane, tenant: str, cost: int, left_s: float, now_s: float, *, resumed: bool) -> Waiter:
        queue, promised = self._queue, lane.is_promised_in_turn(tenant, cost)
        length = lane.queue.length_of(tenant)
        behind_own = length > 0
        if length >= self._max_queue_per_tenant and not resumed:
            raise self._overloaded(lane, behind_own=behind_own)
        mean_s = self._hold.to_serve_s(queue.units_ahead(lane, tenant, cost), self._pool.capacity)
        if promised:
            mean_s = min(mean_s, self.preemption.after_s)
        half_s = left_s / 2
        if mean_s > half_s:
            self._stats.unreachable += 1
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
        self.dispatch()  # the newcomer may be first in turn, and fit where the former first did not
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
            self._stats.pushed_out += 1
            losing.refuse(behind_own=loser.behind_own)
            loser.turn.set_result(Overloaded(retry_delay_s=self.come_back_s(losing)))

    def _give_up(self, waiter: Waiter) -> None:
        """End a wait whose time is over; timer of `take_in_turn`."""
        if self._queue.discard(waiter):
            self._refuse_expired(waiter)
            self.dispatch()  # it may have been first, and too large for what is free

    def _refuse_expired(self, waiter: Waiter) -> None:
        if waiter.turn.done():  # cancelled; its task will find out by itself
            return
        lane = self._queue.lane_of(waiter.rank)
        if waiter.at_half:
            self._stats.unreachable += 1
            lane.refuse(behind_own=waiter.behind_own)
            waiter.turn.set_result(DeadlineUnreachable(retry_delay_s=self.come_back_s(lane)))
        else:
            waiter.turn.set_result(self._overloaded(lane, behind_own=waiter.behind_own))

    def _leave(self, lane: RankLane, waiter: Waiter) -> None:
        """Take a waiter out that will not run. If it had its turn already, the turn passes on."""
        if waiter.granted:
            self._pool.give_back(lane, waiter.tenant, waiter.cost)
        else:
            self._queue.discard(waiter)
        self.dispatch()

    def _overloaded(self, lane: RankLane, *, behind_own: bool) -> Overloaded:
        """Count and build a refusal."""
        self._stats.overloaded += 1
        lane.refuse(behind_own=behind_own)
        return Overloaded(retry_delay_s=self.come_back_s(lane))
