"""Fair queueing between the ranks of a server; inside a rank, `rank_lane` and `fair_queue` are fair between tenants.

Each rank is promised a part of the slots by its weight. Who waits inside that part is served before anybody who waits
beyond it, so that no work of a rank waits behind what others borrow. Among those who wait beyond it, and among several
inside, turns go by start-time fair queueing with the ranks' weights: a rank that waits gets its weight's share of the
turns. Parts of whole slots cannot be promised to every rank of a small server; since all promises together are exactly
the slots, one slot at least is then shared by turns alone, and no rank starves.

This module knows no asyncio; `limiter` adds timers.
"""

from __future__ import annotations

import math
from typing import Final

from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.waiter import Waiter
from trunkline_tiers import RankTable

MAX_DEBT_ROUNDS: Final = 2.0
"""Served beyond its turn, inside its promise, a rank owes at most so many times the capacity: short calls that use a
promised slot over and over are no reason to keep their rank from borrowing for ever."""


class RankQueue:
    """The lanes of all ranks. Every operation is O(ranks) beside what a lane costs; there are few ranks."""

    def __init__(self, table: RankTable, max_queue: int) -> None:
        """Bound the calls that wait: `max_queue` over all ranks, and each rank's own queue length."""
        self.lanes: Final = tuple(RankLane(share, table.promised_part(share.rank), max_queue) for share in table.shares)
        """Lowest rank first."""
        self.max_queue: Final = max_queue
        self._table: Final = table
        self._by_rank: Final = {lane.rank: lane for lane in self.lanes}
        self._capacity = 0
        self._length = 0
        self._cost = 0
        self._expiry_s = math.inf  # nobody who waits expires sooner

    def __len__(self) -> int:
        return self._length

    @property
    def cost(self) -> int:
        """Units that wait in all."""
        return self._cost

    def lane_of(self, rank: int) -> RankLane:
        """Return the lane of a rank; one that stands in no table counts as the next lower one, else as the lowest."""
        lane = self._by_rank.get(rank)
        return lane if lane is not None else self._by_rank[self._table.nearest(rank).rank]

    def resize(self, capacity: int) -> None:
        """Promise each rank its part of `capacity` units."""
        self._capacity = capacity
        for lane in self.lanes:
            lane.promised = int(lane.part * capacity + 1e-6)  # parts of whole numbers come out whole

    def push(self, waiter: Waiter) -> None:
        """Let a call wait at the end of its tenant's line."""
        lane = self._by_rank[waiter.rank]
        if not len(lane.queue):
            lane.start = max(lane.finish, self._virtual())
        lane.push(waiter)
        self._length += 1
        self._cost += waiter.cost
        self._expiry_s = min(self._expiry_s, waiter.expires_at_s)

    def discard(self, waiter: Waiter) -> bool:
        """Take out a call that will not be served, without charging its rank; False if it does not wait."""
        if not self._by_rank[waiter.rank].discard(waiter):
            return False
        self._has_left(waiter)
        return True

    def first(self, now_s: float) -> tuple[RankLane, Waiter] | None:
        """Return who is served next, and its lane; None if nobody waits."""
        best: tuple[RankLane, Waiter] | None = None
        best_key = (True, math.inf)
        for lane in reversed(self.lanes):  # of equals, the higher rank
            waiter = lane.first(now_s)
            if waiter is None:
                continue
            key = (not lane.is_promised(waiter.tenant, waiter.cost), lane.start)
            if key < best_key:
                best, best_key = (lane, waiter), key
        return best

    def pop(self, lane: RankLane) -> None:
        """Take out whom `first` has just named in `lane`, and charge the rank for it."""
        waiter = lane.pop()
        debt = MAX_DEBT_ROUNDS * self._capacity / lane.weight
        lane.finish = min(lane.start + waiter.cost / lane.weight, self._virtual() + debt)
        lane.start = lane.finish
        self._has_left(waiter)

    def units_ahead(self, lane: RankLane, tenant: str, cost: int) -> float:
        """Estimate the units that are served before and with a new call of `cost` units of `tenant` in `lane`.

        Inside its promise a rank waits for itself alone. Beyond it, other waiting ranks take their weights' shares of
        the turns meanwhile; more than everything that waits cannot be ahead.
        """
        own = lane.queue.cost_ahead(tenant, cost, 1.0)
        if lane.is_promised_in_turn(tenant, cost):
            return own
        return min(float(self._cost + cost), own * self._crowd(lane))

    def units_in_line(self, lane: RankLane) -> float:
        """Estimate the units that are served until nobody of the lane's rank waits any more."""
        return min(float(self._cost), lane.queue.cost * self._crowd(lane))

    def gives_way(self, lane: RankLane, tenant: str, cost: int) -> Waiter | None:
        """Return who has less right to wait in a full queue than a newcomer of `cost` units of `tenant` in `lane`.

        A rank that has less than its part of the queue takes the place of one that has more, lower ranks first. One
        that has its part takes it of lower ranks that have more, or of a tenant of its own with a longer line. None
        means that nobody gives way.
        """
        within = len(lane.queue) < lane.queue_share and self._length >= self.max_queue
        for other in self.lanes:
            if other is lane:
                if within:
                    continue
                break
            if self._length >= self.max_queue and other.has_too_much_queue():
                return other.queue.last()
        return lane.queue.most_overdrawn(tenant, cost, 1.0)

    def expired(self, now_s: float) -> list[Waiter]:
        """Return those who wait although their time is over: the loop was blocked. They are not taken out."""
        if now_s < self._expiry_s:
            return []
        waiting = [waiter for lane in self.lanes for waiter in lane.queue]
        self._expiry_s = min((one.expires_at_s for one in waiting if one.expires_at_s > now_s), default=math.inf)
        return [one for one in waiting if one.expires_at_s <= now_s]

    def _crowd(self, lane: RankLane) -> float:
        """Return how many units are served for each unit of the lane while all who wait keep waiting; at least 1."""
        return sum(each.weight for each in self.lanes if each is lane or len(each.queue)) / lane.weight

    def _virtual(self) -> float:
        """Return the virtual time: where the rank stands that waits and was served least. A newcomer begins there."""
        return min((lane.start for lane in self.lanes if len(lane.queue)), default=0.0)

    def _has_left(self, waiter: Waiter) -> None:
        self._length -= 1
        self._cost -= waiter.cost
        if not self._length:  # a new busy period: with nobody waiting there is nothing to be fair about
            self._expiry_s = math.inf
            for lane in self.lanes:
                lane.start = lane.finish = 0.0
