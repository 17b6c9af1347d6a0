"""One rank of a server: what it holds, what it is promised, and who of it waits."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from trunkline_mesh.fair_queue import FairQueue
from trunkline_mesh.limiter_stats import Tally
from trunkline_mesh.waiter import Waiter
from trunkline_tiers import RankShare

LASTING_S: Final = 0.1
"""A rank that has had somebody waiting for so long without a pause is lastingly overloaded (the interval of CoDel)."""
STALE_PART: Final = 0.8
"""Who has waited for so much of half a deadline is left to expire while newer work can still be done well."""


class RankLane:
    """Counts one rank's slots, in units, and keeps its waiting calls: fair between tenants."""

    __slots__ = (
        "aging",
        "busy_since_s",
        "finish",
        "held",
        "in_flight",
        "in_use",
        "newest_first",
        "own_refusals",
        "part",
        "preemptions",
        "promised",
        "queue",
        "queue_length",
        "queue_share",
        "rank",
        "refusals",
        "start",
        "weight",
    )

    def __init__(self, share: RankShare, part: float, max_queue: int) -> None:
        """`part` of the slots and of the places in the queue is promised to this rank, 0 to 1."""
        self.rank = share.rank
        self.weight = share.weight
        self.part = part
        self.queue_length = min(share.queue_length, max_queue)
        self.queue_share = max(1, int(part * max_queue))
        self.in_flight = share.in_flight
        """Calls of one tenant that may be under way."""
        self.promised = 0
        """Units that nobody else keeps from it."""
        self.in_use = 0
        """Units that its calls hold."""
        self.held: Final[dict[str, int]] = {}
        """The same by tenant, of those alone that hold some."""
        self.preemptions: Final = Tally()
        self.refusals: Final = Tally()
        """Calls refused although their tenant had nothing waiting: the server had no room for them."""
        self.own_refusals: Final = Tally()
        """Calls refused behind others of the same tenant: whoever floods brings that upon itself."""
        self.queue: FairQueue[Waiter] = FairQueue()
        self.aging: OrderedDict[Waiter, None] = OrderedDict()
        """Who waits and has not had other work ended for it, oldest first."""
        self.busy_since_s = 0.0
        self.newest_first = False
        self.start = 0.0
        self.finish = 0.0

    @property
    def preempted(self) -> int:
        """Calls of it that were ended for others, since the start."""
        return self.preemptions.count

    @property
    def shed(self) -> int:
        """Calls of it that were refused for others' work, since the start; `own_refusals` are not among them."""
        return self.refusals.count

    def take(self, tenant: str, cost: int) -> None:
        """Count `cost` units, more than 0, as held by a tenant."""
        self.in_use += cost
        self.held[tenant] = self.held.get(tenant, 0) + cost

    def give_back(self, tenant: str, cost: int) -> None:
        """Count units as held no more."""
        self.in_use -= cost
        left = self.held[tenant] - cost
        if left:
            self.held[tenant] = left
        else:
            del self.held[tenant]

    def refuse(self, *, behind_own: bool) -> None:
        """Count a refusal of a call; `behind_own` says that calls of its own tenant waited when it came."""
        (self.own_refusals if behind_own else self.refusals).inc()

    def demand(self, at_most: float) -> float:
        """Return units held and waited for, of each tenant `at_most` so many. O(tenants that run + calls that wait)."""
        by_tenant = dict(self.held)
        for waiter in self.queue:
            by_tenant[waiter.tenant] = by_tenant.get(waiter.tenant, 0) + waiter.cost
        return sum(min(units, at_most) for units in by_tenant.values())

    def is_promised(self, tenant: str, cost: int, spoken_for: int = 0) -> bool:
        """Return True if a further call of `cost` units of `tenant` is inside what this rank is promised.

        A rank beyond its promise shares it out max-min fairly among its tenants: whoever would hold no more than what
        is left for each when nobody has more than another is inside. So who floods is beyond it, and the others are not
        beyond theirs because of that. `spoken_for` units of the promise are not to be had. O(tenants that hold some).
        """
        if self.in_use + cost + spoken_for <= self.promised:
            return True
        own = self.held.get(tenant, 0) + cost
        room = self.promised - spoken_for - own
        return room >= 0 and self._up_to(own, tenant) <= room

    def is_promised_in_turn(self, tenant: str, cost: int) -> bool:
        """The same with everybody who waits before it served, too."""
        if self.in_use + self.queue.cost + cost <= self.promised:
            return True
        own = self.held.get(tenant, 0) + self.queue.cost_of(tenant) + cost
        room = self.promised - own
        if room < 0 or self._up_to(own, tenant) > room:
            return False
        wanted = self.held | {name: self.held.get(name, 0) + units for name, units in self.queue.costs()}
        return sum(min(units, own) for name, units in wanted.items() if name != tenant) <= room

    def _up_to(self, most: int, but: str) -> int:
        """Return the units that all tenants but one hold, of each at most so many."""
        return sum(min(units, most) for name, units in self.held.items() if name != but)

    def has_too_much_queue(self) -> bool:
        """Return True if it waits with more than its part of the queue, and with more than it is promised slots."""
        return len(self.queue) > self.queue_share and self.in_use + self.queue.cost > self.promised

    def push(self, waiter: Waiter) -> None:
        """Let a call wait."""
        if not len(self.queue):
            self.busy_since_s = waiter.asked_at_s
        self.queue.push(waiter)
        self.aging[waiter] = None

    def discard(self, waiter: Waiter) -> bool:
        """Take out a call that will not be served; False if it does not wait."""
        self.aging.pop(waiter, None)
        return self.queue.discard(waiter)

    def first(self, now_s: float) -> Waiter | None:
        """Return who is served next; None if nobody waits.

        In lasting overload the oldest of a tenant would be started with half of its deadline gone, one after another;
        the newest of its line goes before them then ("adaptive LIFO", Maurer, "Fail at Scale", ACM Queue 2015).
        """
        self.newest_first = False
        oldest = self.queue.peek()
        if oldest is None or now_s - self.busy_since_s < LASTING_S or not oldest.is_stale(now_s, STALE_PART):
            return oldest
        self.newest_first = True
        return self.queue.peek(newest=True)

    def pop(self) -> Waiter:
        """Take out whom `first` has just named."""
        waiter = self.queue.pop(newest=self.newest_first)
        self.aging.pop(waiter, None)
        return waiter
