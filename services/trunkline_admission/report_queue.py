"""Reports on their way to the store: in order, each until it is counted; while the store is away they are added up."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.late_reports import LateReports
from trunkline_admission.promise_metrics import REPORTS, REPORTS_WAITING
from trunkline_admission.promise_records import Counted
from trunkline_admission.promise_store import PromiseStore
from trunkline_admission.report_parts import KnownReport, Part, parts_of
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import CircuitOpen

MAX_WAITING: Final = 1000
"""Reports that wait behind one that is being counted; further ones are added up."""
LATE_S: Final = 2.0
"""An older report tells nothing of what happens now."""
RETRY_S: Final = 0.25
"""Pause after the store did not answer."""

OnCounted = Callable[[Part, Counted], None]
"""Is told of each part that the store has dealt with. Quick, raises nothing."""


@dataclass(slots=True)
class _Waiting:
    """One report in the queue."""

    known: KnownReport
    since_s: float
    done: asyncio.Future[None]
    late: bool = False
    """True for what was added up."""
    parts_done: int = 0
    in_doubt: bool = False
    """The next part may have been counted by an attempt whose answer was lost."""


class ReportQueue:
    """Brings reports to the store, one after the other. What the store may have counted before is counted once.

    If it does not take the first one, those behind it are added up, and what comes after them, until it does: nothing
    is lost with time, and no outage needs more memory than another. The first one goes on waiting as it is.
    """

    def __init__(self, store: PromiseStore, on_counted: OnCounted, clock: Clock = MONOTONIC) -> None:
        """Hold nothing yet; `run` does the work."""
        self._store = store
        self._on_counted = on_counted
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._late = LateReports(clock)
        self._came = asyncio.Event()

    def __len__(self) -> int:
        """Return how many reports wait; all that were added up are one."""
        return len(self._waiting) + bool(len(self._late))

    def put(self, known: KnownReport) -> asyncio.Future[None]:
        """Take a report; return what ends when it is counted or added up with others."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(known, self._clock(), done))
        if len(self._waiting) > MAX_WAITING:
            self._add_up()
        self._came.set()
        self._show()
        return done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                if await self._count(self._waiting[0]):
                    self._tell_late()
                else:
                    self._add_up()
                    await asyncio.sleep(RETRY_S)  # nothing tells when a store is back
                self._show()

    async def _count(self, first: _Waiting) -> bool:
        """Bring one report to the store; return False if that has to be tried again."""
        age_s = self._clock() - first.since_s
        outcome = "counted"
        try:
            for part in parts_of(first.known, late=first.late or age_s > LATE_S):
                if part.index < first.parts_done:
                    continue
                counted = await self._store.count(part)
                ours = counted.counted or first.in_doubt
                first.parts_done, first.in_doubt = part.index + 1, False
                outcome = outcome if ours else "repeated"
                self._on_counted(part, replace(counted, counted=ours))
        except AUTHORITY_AWAY as exc:
            first.in_doubt = first.in_doubt or not isinstance(exc, CircuitOpen)
            return False
        self._waiting.popleft()
        _end(first, outcome)
        return True

    def _show(self) -> None:
        REPORTS_WAITING.set(len(self._waiting) + self._late.reports)

    def _add_up(self) -> None:
        """Add up all reports but the first one: parts of that may be in the store."""
        first = self._waiting.popleft()
        for waiting in self._waiting:
            _end(waiting, "added_up" if self._late.add(waiting.known) else "dropped")
        self._waiting = deque((first,))

    def _tell_late(self) -> None:
        """Let what was added up take its turn, now that the store answers."""
        if not len(self._late) or any(waiting.late for waiting in self._waiting):
            return
        late = self._late.take()
        if late is not None:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(_Waiting(late, self._clock(), done, late=True))


def _end(waiting: _Waiting, outcome: str) -> None:
    REPORTS.labels(outcome).inc()
    if not waiting.done.done():
        waiting.done.set_result(None)
