"""Takes borrowed slots back for those to whom they are promised.

Whoever waits inside its rank's promised part of the slots for longer than the table allows ends running calls until it
has room: the newest of the lowest rank that holds more than it is promised, one if that is enough, and none if all of
them are not. Of its own rank those of tenants count that hold more than their part of the promise. Their tasks are
cancelled; `Slot` turns the cancellation into Preempted.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.rank_queue import RankQueue
from trunkline_mesh.waiter import Waiter

UNITS_PER_SLOT: Final = 1000
"""Weights are counted in thousandths of a slot: whole numbers add up and come back to zero exactly."""
LOOK_EVERY_S: Final = 0.005
"""A tenth of the time that promised work waits before it ends other work."""
MANY_WAIT: Final = 32
"""With fewer calls waiting every look is worth its while."""


class Held(Protocol):
    """A running call as a possible victim."""

    cost: int
    lane: RankLane
    tenant: str

    def can_end(self) -> bool:
        """Return False if it cannot be ended (any more)."""
        ...

    def preempt(self) -> None:
        """End it."""
        ...


@dataclass(slots=True, eq=False)
class _Claim:
    """What was ended for somebody who waits."""

    lane: RankLane
    waiter: Waiter
    victims: int
    """Those that have not given their slots back yet."""


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
        self._ending: Final[dict[Held, _Claim]] = {}
        """Victims that have not given their slots back yet, and for whom they were ended."""
        self._leaving: Final = dict.fromkeys(queue.lanes, 0)
        self._awaited: Final = dict.fromkeys(queue.lanes, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_s = math.inf
        self._looked_s = -math.inf

    def started(self, held: Held) -> None:
        """Note a running call that may be ended."""
        self._running[held.lane][held] = None

    def ended(self, held: Held) -> None:
        """Note that it runs no more; also for calls that were never noted."""
        self._running[held.lane].pop(held, None)
        if self._ending and (claim := self._ending.pop(held, None)) is not None:
            self._leaving[held.lane] -= held.cost
            claim.victims -= 1
            if not claim.victims:
                self._close(claim)

    def look(self, now_s: float, free: int) -> None:
        """End what must be ended now, and ask to look again when the next one has waited for long enough.

        `free` units are held by nobody, and too few for whoever is next. In a flood this is asked with every call, and
        all who wait are looked at: where many do, that is done seldom beside those moments at which somebody is due.
        """
        if len(self._queue) > MANY_WAIT and now_s < self._looked_s + LOOK_EVERY_S:
            self._look_again(now_s, self._looked_s + LOOK_EVERY_S)
            return
        self._looked_s = now_s
        next_s = math.inf
        for lane in reversed(self._queue.lanes):
            for waiter in self._claims(lane):
                due_s = waiter.asked_at_s + self.after_s
                if due_s > now_s:
                    next_s = min(next_s, due_s)
                    break
                if not self._end_for(lane, waiter, free):
                    break
        self._look_again(now_s, next_s)

    def _look_again(self, now_s: float, at_s: float) -> None:
        if at_s < self._timer_at_s:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at_s = at_s
            self._timer = asyncio.get_running_loop().call_later(at_s - now_s, self._on_time)

    def _on_time(self) -> None:
        self._timer, self._timer_at_s = None, math.inf
        self._looked_s = -math.inf
        self._on_due()

    def _claims(self, lane: RankLane) -> Iterator[Waiter]:
        """Yield who waits inside the lane's promise and has had nothing ended for it, oldest first."""
        beyond: set[tuple[str, int]] = set()  # claims only grow meanwhile: who is beyond its promise stays so
        for waiter in list(lane.aging):
            if waiter.turn.done() or (waiter.tenant, waiter.cost) in beyond:
                continue
            if lane.is_promised(waiter.tenant, waiter.cost, self._awaited[lane]):
                yield waiter
            else:
                beyond.add((waiter.tenant, waiter.cost))

    def _close(self, claim: _Claim) -> None:
        """Forget a claim whose victims are gone. If other promised work takes their room, it may be made again.

        Only for who is next in its lane: the room of others may go to borrowers, and each of them would be ended anew.
        """
        lane, waiter = claim.lane, claim.waiter
        self._awaited[lane] -= waiter.cost
        if not waiter.turn.done() and lane.queue.peek(newest=lane.newest_first) is waiter:
            lane.aging[waiter] = None
            lane.aging.move_to_end(waiter, last=False)

    def _end_for(self, lane: RankLane, waiter: Waiter, free: int) -> bool:
        """End calls so that `waiter` has room; False if that takes none, or there are too few that may be ended."""
        victims = self._victims(lane, waiter, waiter.cost - self._room(free))
        if not victims:
            return False
        claim = _Claim(lane, waiter, len(victims))
        del lane.aging[waiter]
        self._awaited[lane] += waiter.cost
        for victim in victims:
            victim.preempt()
            del self._running[victim.lane][victim]
            self._ending[victim] = claim
            self._leaving[victim.lane] += victim.cost
        return True

    def _room(self, free: int) -> int:
        """Return what will be free when all victims are gone and those have their slots for whom they were ended."""
        claims = {id(claim): claim for claim in self._ending.values()}.values()
        taken = sum(claim.waiter.cost for claim in claims if not claim.waiter.turn.done())
        return free + sum(self._leaving.values()) - taken

    def _victims(self, claimant: RankLane, waiter: Waiter, needed: int) -> list[Held]:
        """Return calls that may be ended for a gain of `needed` units, of the lowest rank first; none if too few.

        Of the claimant's own rank those of tenants that hold more of the promise than is theirs.

        Nobody is among them without whom the gain would be enough, too.
        """
        chosen: list[Held] = []
        missing = needed
        for lane in self._queue.lanes:
            if missing <= 0:
                break
            for held in self._borrowed(lane, missing, waiter if lane is claimant else None):
                chosen.append(held)
                missing -= held.cost
                if missing <= 0:
                    break
        if missing > 0:
            return []
        for held in reversed(chosen.copy()):
            if held.cost <= -missing:
                chosen.remove(held)
                missing += held.cost
        return chosen

    def _borrowed(self, lane: RankLane, missing: int, neighbour: Waiter | None) -> list[Held]:
        """Return calls of one rank that may be ended: the newest that gives all that is `missing`, else the newest.

        What a rank holds beyond its promise is borrowed, from a whole slot on: a rank that is promised a part of a slot
        may use one. A call is ended only if that takes less than a slot of the promised part.
        """
        over = lane.in_use - self._leaving[lane] - lane.promised
        if neighbour is not None:
            over += neighbour.cost
        if over < UNITS_PER_SLOT:
            return []
        calls = [one for one in reversed(self._running[lane]) if one.cost < over + UNITS_PER_SLOT and one.can_end()]
        if neighbour is not None:
            flooders = {tenant for tenant in lane.held if not lane.is_promised(tenant, 0, neighbour.cost)}
            calls = [one for one in calls if one.tenant in flooders and one.tenant != neighbour.tenant]
        # Of whom holds the most: what a flooder borrowed is not paid for by its neighbours. The newest of that one.
        calls.sort(key=lambda one: -lane.held.get(one.tenant, 0))
        for held in calls:
            if held.cost >= missing:
                return [held]
        several = []
        for held in calls:
            if over >= UNITS_PER_SLOT and held.cost < over + UNITS_PER_SLOT:
                several.append(held)
                over -= held.cost
        return several
