"""Independent account of one server's slots: who waits, who runs, and whether that was right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.sim.laws import Laws
from trunkline_tiers import RankTable

BACKLOG_S: Final = 5.0
"""A rank must have waited without a pause for so long before its share is judged: shorter ones tell of whole calls."""
LEAST_OF_SHARE: Final = 0.5
"""Part of its weight's share that a waiting rank must get."""
SLACK_CALLS: Final = 3.0
"""Calls that a share may lack: fair queueing is exact only up to a call of each side."""


class _Backlog:
    """A span in which a rank never stopped waiting."""

    __slots__ = ("others", "own", "since_s")

    def __init__(self, since_s: float) -> None:
        self.since_s = since_s
        self.own = 0
        self.others: dict[int, int] = {}


class SlotBook:
    """Watches one server of `slots` slots. Every call is one slot; the server tells what happens, and nothing else."""

    def __init__(self, name: str, slots: int, table: RankTable, laws: Laws, clock: Callable[[], float]) -> None:
        self.name: Final = name
        self.slots = slots
        self.running = 0
        self.waiting = 0
        self.reclaims_s: list[float] = []
        """How long work inside its rank's promised share waited for slots that others had borrowed."""
        self._promised: Final = {share.rank: table.promised_part(share.rank) * slots for share in table.shares}
        self._weight: Final = {share.rank: share.weight for share in table.shares}
        self._running_of = dict.fromkeys(self._promised, 0)
        self._waiting_of = dict.fromkeys(self._promised, 0)
        self._backlogs: dict[int, _Backlog] = {}
        self._laws = laws
        self._clock = clock

    def asks(self, rank: int) -> bool:
        """Note that a call wants a slot; return True if that is inside what its rank is promised.

        If all are held, its rank has a backlog from now on, if it had none.
        """
        self.waiting += 1
        self._waiting_of[rank] += 1
        if self.running >= self.slots and rank not in self._backlogs:
            self._backlogs[rank] = _Backlog(self._clock())
        return self._running_of[rank] + 1 <= self._promised[rank]

    def leaves(self, rank: int) -> None:
        """Note that a call that waited goes without."""
        self.waiting -= 1
        self._waiting_of[rank] -= 1
        if not self._waiting_of[rank]:
            self._backlogs.pop(rank, None)

    def starts(self, rank: int, waited_s: float, *, promised: bool) -> None:
        """Note that a call has its slot."""
        self.waiting -= 1
        self.running += 1
        self._waiting_of[rank] -= 1
        self._running_of[rank] += 1
        if self.running > self.slots:
            self._laws.broken("over_slots", self._clock(), f"{self.name}: {self.running} of {self.slots} slots")
        if promised and waited_s > 0:
            self.reclaims_s.append(waited_s)
        if self._backlogs:
            self._count(rank)
            if not self._waiting_of[rank]:
                self._backlogs.pop(rank, None)

    def ends(self, rank: int) -> None:
        """Note that a call gave its slot back."""
        self.running -= 1
        self._running_of[rank] -= 1

    def look(self, limit: float) -> None:
        """Judge an instant in which everything is done that could be: `limit` slots may be held now."""
        if self.waiting and self.running + 1 <= min(limit, self.slots):
            text = f"{self.name}: {self.waiting} wait, {self.running} of {limit:g} slots are held"
            self._laws.broken("idle_slot", self._clock(), text)

    def close(self, held: float) -> None:
        """Judge the end: nothing may be left, and the limiter must not hold anything either."""
        if self.running or self.waiting or held:
            text = f"{self.name}: {self.running} run, {self.waiting} wait and {held:g} are held at the end"
            self._laws.broken("lost_slot", self._clock(), text)

    def _count(self, rank: int) -> None:
        """Count a start for everybody who waits, and judge those who waited long enough."""
        now_s = self._clock()
        for waiting_rank, backlog in self._backlogs.items():
            if waiting_rank == rank:
                backlog.own += 1
            else:
                backlog.others[rank] = backlog.others.get(rank, 0) + 1
            if now_s - backlog.since_s >= BACKLOG_S:
                self._judge(waiting_rank, backlog)
                backlog.since_s, backlog.own, backlog.others = now_s, 0, {}

    def _judge(self, rank: int, backlog: _Backlog) -> None:
        served = backlog.own + sum(backlog.others.values())
        weight = self._weight[rank]
        share = weight / (weight + sum(self._weight[other] for other in backlog.others))
        if backlog.own < LEAST_OF_SHARE * share * served - SLACK_CALLS:
            text = f"{self.name}: rank {rank} got {backlog.own} of {served} starts in {BACKLOG_S:g} s of waiting"
            self._laws.broken("starved", self._clock(), text)
