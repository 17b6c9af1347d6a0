"""How much a server does at once, who waits, and who is refused at once.

Capacity is counted in slots. A call whose slots are free starts without delay. Otherwise it waits in a weighted fair
queue, but only as long as waiting can pay: at most the smaller of the predicted wait and half of the deadline that is
left, so that the other half remains for the work. Whoever cannot be served within that is refused at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, DeadlineUnreachable, DomainError, Overloaded
from trunkline_mesh.fair_queue import FairQueue
from trunkline_mesh.stall import STALL_S, stalls_of

UNITS_PER_SLOT: Final = 1000
"""Weights are counted in thousandths of a slot: whole numbers add up and come back to zero exactly."""
RANK_WEIGHTS: Final = (1.0, 4.0, 16.0)
"""Share of a waiting tenant by rank: free, pro, enterprise. A rank beyond the ends counts as the end."""
PREDICTION_HEADROOM: Final = 4.0
"""The predicted wait is this many times its mean: with random service times few waits are longer."""
MIN_PREDICTED_WAIT_S: Final = 0.010
"""The stage budget of admission and queue: a prediction below it is noise."""
INITIAL_HOLD_S: Final = 0.050
"""How long a slot is assumed to be held before any call has ended."""
_HOLD_SMOOTHING: Final = 0.1
_MAX_RETRY_DELAY_S: Final = 5.0


@dataclass(slots=True)
class LimiterStats:
    """Calls since the start, by what became of them. Each call that asked for a slot is counted in one field."""

    at_once: int = 0
    after_wait: int = 0
    overloaded: int = 0
    """Refused: the queue or the tenant's part of it was full, or the predicted wait passed."""
    unreachable: int = 0
    """Refused: the wait would take, or took, more than half of the deadline."""
    too_late: int = 0
    """Refused: the deadline passed before the call could start, for example while the event loop was blocked."""
    pushed_out: int = 0
    """Refused while waiting, in favour of a tenant with more right to wait."""
    cancelled: int = 0
    """The caller left while waiting."""


class _Waiter:
    """One call that waits. `turn` brings None (go ahead) or the refusal."""

    __slots__ = ("at_half", "cost", "expires_at_s", "granted", "tenant", "turn", "weight")

    def __init__(self, tenant: str, cost: int, weight: float, expires_at_s: float, *, at_half: bool) -> None:
        self.tenant = tenant
        self.cost = cost
        self.weight = weight
        self.expires_at_s = expires_at_s
        self.at_half = at_half
        self.granted = False
        self.turn: asyncio.Future[DomainError | None] = asyncio.get_running_loop().create_future()

    def is_refused(self) -> bool:
        """Return True if it was counted as refused already."""
        return self.turn.done() and not self.turn.cancelled() and not self.granted


class Slot:
    """The slots of one call, held between enter and exit. Made by `CapacityLimiter.slot`, used once."""

    __slots__ = ("_cost", "_deadline", "_limiter", "_rank", "_started_s", "_tenant")

    def __init__(self, limiter: CapacityLimiter, tenant: str, rank: int, cost: int, deadline: Deadline) -> None:
        """See `CapacityLimiter.slot`."""
        self._limiter = limiter
        self._tenant = tenant
        self._rank = rank
        self._cost = cost
        self._deadline = deadline
        self._started_s = 0.0

    async def __aenter__(self) -> float:
        """Take the slots and return the seconds waited.

        Raises Overloaded, DeadlineUnreachable or DeadlineExceeded, holding nothing.
        """
        limiter = self._limiter
        now_s = limiter.clock()
        if limiter.try_take(self._cost, self._deadline.at_s, now_s):
            self._started_s = now_s
            return 0.0
        self._started_s = await limiter.take_in_turn(self._tenant, self._rank, self._cost, self._deadline, now_s)
        return self._started_s - now_s

    async def __aexit__(self, *_: object) -> None:
        """Give the slots back."""
        limiter = self._limiter
        limiter.give_back(self._cost, limiter.clock() - self._started_s)


class CapacityLimiter:
    """Lets at most `max_concurrency` slots be held at once; the rest wait fairly, or not at all.

    One event loop owns it. Nothing here awaits between looking and taking, so no lock is needed.
    """

    def __init__(
        self,
        *,
        max_concurrency: int,
        max_queue: int,
        max_queue_per_tenant: int,
        rank_weights: Sequence[float] = RANK_WEIGHTS,
        clock: Clock = MONOTONIC,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """Bound slots (at least 1), waiting calls in all, and waiting calls of one tenant (0 or more).

        `clock` must tell the time of `Deadline.at_s` and of the event loop; `rng` returns numbers in [0, 1).
        """
        if max_concurrency < 1 or max_queue < 0 or max_queue_per_tenant < 0:
            raise ValueError("a limiter needs at least one slot, and queues of 0 or more")
        if not rank_weights or min(rank_weights) <= 0:
            raise ValueError("every rank needs a weight above 0")
        self.clock: Final = clock
        self.stats: Final = LimiterStats()
        self._capacity: Final = max_concurrency * UNITS_PER_SLOT
        self._max_queue: Final = max_queue
        self._max_queue_per_tenant: Final = max_queue_per_tenant
        self._rank_weights: Final = tuple(rank_weights)
        self._rng: Final = rng
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._in_use = 0
        self._hold_s = INITIAL_HOLD_S
        self._stalls: Final = stalls_of(clock)

    def slot(self, *, tenant: str, rank: int, weight: float, deadline: Deadline) -> Slot:
        """Return a context manager that holds `weight` slots; entering it gives the seconds waited.

        `weight` is the call's cost in slots, at most the whole capacity counts; 0 neither waits nor holds anything.
        `rank` chooses the tenant's share while it waits, higher is more. Entering raises Overloaded (with when to come
        back) if there is no room to wait, DeadlineUnreachable if the wait would take more than half of the time left,
        DeadlineExceeded if none is left. Raises ValueError for a negative weight.
        """
        if weight < 0:
            raise ValueError("a weight must not be negative")
        return Slot(self, tenant, rank, min(int(weight * UNITS_PER_SLOT + 0.5), self._capacity), deadline)

    def pressure(self) -> float:
        """Return slots held and wanted over slots there are: 0 idle, 1 full with nobody waiting, more with a queue."""
        return (self._in_use + self._queue.cost) / self._capacity

    @property
    def slots_in_use(self) -> float:
        """Slots held now."""
        return self._in_use / UNITS_PER_SLOT

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return len(self._queue)

    def try_take(self, cost: int, deadline_at_s: float, now_s: float) -> bool:
        """Take `cost` units if that passes nobody who waits; raise DeadlineExceeded if the deadline has passed."""
        if deadline_at_s <= now_s:
            self.stats.too_late += 1
            raise DeadlineExceeded
        if cost and (len(self._queue) or self._in_use + cost > self._capacity):
            return False
        self._in_use += cost
        self.stats.at_once += 1
        return True

    async def take_in_turn(self, tenant: str, rank: int, cost: int, deadline: Deadline, now_s: float) -> float:
        """Wait for `cost` units and return the time at which they were taken; raises as `slot` says."""
        waiter = self._enqueue(tenant, rank, cost, deadline.at_s - now_s, now_s)
        timer = asyncio.get_running_loop().call_later(waiter.expires_at_s - now_s, self._give_up, waiter)
        try:
            refusal = await waiter.turn
        except BaseException:  # cancelled; whatever it is, a slot must not be lost
            self.stats.cancelled += not waiter.is_refused()
            self._leave(waiter)
            raise
        finally:
            timer.cancel()
        if refusal is not None:
            raise refusal
        taken_at_s = self.clock()
        if deadline.at_s <= taken_at_s:  # the loop was blocked between the grant and now
            self.stats.too_late += 1
            self._leave(waiter)
            raise DeadlineExceeded
        self.stats.after_wait += 1
        return taken_at_s

    def give_back(self, cost: int, held_s: float) -> None:
        """Return `cost` units that were held for `held_s` seconds, and serve whoever waits for them."""
        if not cost:
            return
        if held_s < STALL_S or not self._stalls.excuses(self.clock() - held_s):  # else it was we who slept
            self._hold_s += _HOLD_SMOOTHING * (held_s - self._hold_s)
        self._in_use -= cost
        if len(self._queue):
            self._dispatch()

    def _enqueue(self, tenant: str, rank: int, cost: int, left_s: float, now_s: float) -> _Waiter:
        queue = self._queue
        if queue.length_of(tenant) >= self._max_queue_per_tenant:
            self.stats.overloaded += 1
            raise self._overloaded()
        weight = self._rank_weights[min(max(rank, 0), len(self._rank_weights) - 1)]
        mean_s = queue.cost_ahead(tenant, cost, weight) * self._hold_s / self._capacity
        half_s = left_s / 2
        if mean_s > half_s:
            self.stats.unreachable += 1
            raise DeadlineUnreachable
        if len(queue) >= self._max_queue:
            self._push_out_for(tenant, cost, weight)
        predicted_s = max(MIN_PREDICTED_WAIT_S, PREDICTION_HEADROOM * mean_s)
        patience_s = min(predicted_s, half_s)
        waiter = _Waiter(tenant, cost, weight, now_s + patience_s, at_half=half_s <= predicted_s)
        queue.push(waiter)
        self._dispatch()  # the newcomer may be first in turn, and fit where the former first did not
        return waiter

    def _push_out_for(self, tenant: str, cost: int, weight: float) -> None:
        """Make room in a full queue at the cost of whoever has the least right to wait, or raise Overloaded."""
        victim = self._queue.most_overdrawn(tenant, cost, weight)
        if victim is None:
            self.stats.overloaded += 1
            raise self._overloaded()
        self._queue.discard(victim)
        if not victim.turn.done():
            self.stats.pushed_out += 1
            victim.turn.set_result(self._overloaded())

    def _dispatch(self) -> None:
        """Grant free units to those whose turn it is; drop those who left or whose time to wait is over."""
        queue, now_s = self._queue, self.clock()
        while (first := queue.peek()) is not None:
            if first.turn.done() or first.expires_at_s <= now_s:
                queue.discard(first)
                self._refuse_expired(first)
            elif self._in_use + first.cost <= self._capacity:
                queue.pop()
                self._in_use += first.cost
                first.granted = True
                first.turn.set_result(None)
            else:
                return

    def _give_up(self, waiter: _Waiter) -> None:
        """End a wait whose time is over; timer of `take_in_turn`."""
        if self._queue.discard(waiter):
            self._refuse_expired(waiter)
            self._dispatch()  # it may have been first, and too large for what is free

    def _refuse_expired(self, waiter: _Waiter) -> None:
        if waiter.turn.done():  # cancelled; its task will find out by itself
            return
        if waiter.at_half:
            self.stats.unreachable += 1
            waiter.turn.set_result(DeadlineUnreachable())
        else:
            self.stats.overloaded += 1
            waiter.turn.set_result(self._overloaded())

    def _leave(self, waiter: _Waiter) -> None:
        """Take a waiter out that will not run. If it had its turn already, the turn passes on."""
        if waiter.granted:
            self._in_use -= waiter.cost
        else:
            self._queue.discard(waiter)
        self._dispatch()

    def _overloaded(self) -> Overloaded:
        """Build the refusal; callers are told to come back when what waits now is done, spread over twice as long."""
        drained_s = max(MIN_PREDICTED_WAIT_S, (self._queue.cost + self._in_use) * self._hold_s / self._capacity)
        return Overloaded(retry_delay_s=min(_MAX_RETRY_DELAY_S, drained_s * (1.0 + self._rng())))
