"""Takes borrowed slots back for those to whom they are promised.

Whoever waits inside its rank's promised part of the slots for longer than the table allows ends one running call: the
newest of the lowest rank that holds more than it is promised. That call's task is cancelled; `Slot` turns the
cancellation into Preempted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.rank_queue import RankQueue
from trunkline_mesh.waiter import Waiter

UNITS_PER_SLOT: Final = 1000
"""Weights are counted in thousandths of a slot: whole numbers add up and come back to zero exactly."""


class Held(Protocol):
    """A running call as a possible victim."""

    cost: int
    lane: RankLane

    def preempt(self) -> bool:
        """End it; False if it cannot be ended (any more)."""
        ...


class Preemption:
    """Knows the running calls that may be ended, and ends them. One event loop owns it."""

    def __init__(self, queue: RankQueue, after_s: float, on_due: Callable[[], None]) -> None:
        """Promised work that waits for `after_s` seconds ends other work.

        `on_due` is called when somebody has waited for so long; it should `look`.
        """
        self.after_s: Final = after_s
        self._queue: Final = queue
        self._on_due: Final = on_due
        self._running: Final[dict[RankLane, dict[Held, None]]] = {lane: {} for lane in queue.lanes}
        self._ending: Final[dict[Held, tuple[RankLane, int]]] = {}
        """Victims that have not given their slots back yet, and for whom how many units are awaited."""
        self._leaving: Final = dict.fromkeys(queue.lanes, 0)
        self._awaited: Final = dict.fromkeys(queue.lanes, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf

    def started(self, held: Held) -> None:
        """Note a running call that may be ended."""
        self._running[held.lane][held] = None

    def ended(self, held: Held) -> None:
        """Note that it runs no more; also for calls that were never noted."""
        self._running[held.lane].pop(held, None)
        if self._ending and (claim := self._ending.pop(held, None)) is not None:
            lane, awaited = claim
            self._awaited[lane] -= awaited
            self._leaving[held.lane] -= held.cost

    def look(self, now_s: float, free: int) -> None:
        """End what must be ended now, and ask to look again when the next one has waited for long enough.

        `free` units are held by nobody, and too few for whoever is next.
        """
        next_s = math.inf
        for lane in reversed(self._queue.lanes):
            for waiter in self._claims(lane):
                due_s = waiter.asked_at_s + self.after_s
                if due_s > now_s:
                    next_s = min(next_s, due_s)
                    break
                if not self._end_for(lane, waiter, free):
                    break
        if next_s < self._timer_at_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at_s = next_s
            self._timer = asyncio.get_running_loop().call_later(next_s - now_s, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._timer_at_s = None, math.inf
        self._on_due()

    def _claims(self, lane: RankLane) -> Iterator[Waiter]:
        """Yield who waits inside the lane's promise and has had nothing ended for it, oldest first."""
        if not lane.aging or not lane.is_promised(self._awaited[lane] + 1):
            return
        for waiter in list(lane.aging):
            if not waiter.turn.done() and lane.is_promised(self._awaited[lane] + waiter.cost):
                yield waiter

    def _end_for(self, lane: RankLane, waiter: Waiter, free: int) -> bool:
        """End one call so that `waiter` has room; False if there is none that may be ended."""
        if waiter.cost <= free:
            return False
        for victim in self._victims(lane, waiter.cost - free):
            if victim.preempt():
                del lane.aging[waiter]
                del self._running[victim.lane][victim]
                self._ending[victim] = (lane, waiter.cost)
                self._awaited[lane] += waiter.cost
                self._leaving[victim.lane] += victim.cost
                return True
        return False

    def _victims(self, claimant: RankLane, needed: int) -> Iterator[Held]:
        """Yield calls that may be ended for a gain of `needed` units: of the lowest rank first, the newest first.

        What a rank holds beyond its promise is borrowed, from a whole slot on: a rank that is promised a part of a slot
        may use one. A call is ended only if that gives enough room, and takes less than a slot of the promised part.
        """
        for lane in self._queue.lanes:
            over = lane.in_use - self._leaving[lane] - lane.promised
            if lane is claimant or over < UNITS_PER_SLOT:
                continue
            for held in reversed(list(self._running[lane])):
                if needed <= held.cost < over + UNITS_PER_SLOT:
                    yield held
