"""Reports on their way to the store: in order, each until it is counted, few enough to be kept in memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from trunkline_admission.errors import AUTHORITY_AWAY
from trunkline_admission.promise_metrics import REPORTS, REPORTS_WAITING
from trunkline_admission.promise_records import Counted
from trunkline_admission.promise_store import PromiseStore
from trunkline_admission.report_parts import KnownReport, Part, parts_of
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import CircuitOpen

MAX_WAITING: Final = 1000
"""Reports that wait for the store; the oldest one makes room."""
MAX_ROWS: Final = 200_000
"""Lines of tenants in all of them, some 60 MB."""
MAX_AGE_S: Final = 600.0
"""A report that the store has not taken by then is dropped."""
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
    parts_done: int = 0
    in_doubt: bool = False
    """The next part may have been counted by an attempt whose answer was lost."""


class ReportQueue:
    """Brings reports to the store, one after the other. What the store may have counted before is counted once."""

    def __init__(self, store: PromiseStore, on_counted: OnCounted, clock: Clock = MONOTONIC) -> None:
        """Hold nothing yet; `run` does the work."""
        self._store = store
        self._on_counted = on_counted
        self._clock = clock
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._came = asyncio.Event()

    def __len__(self) -> int:
        """Return how many reports wait."""
        return len(self._waiting)

    def put(self, known: KnownReport) -> asyncio.Future[None]:
        """Take a report; return what ends when it is counted or dropped."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(known, self._clock(), done))
        self._rows += len(known.rows)
        while len(self._waiting) > MAX_WAITING or self._rows > MAX_ROWS:
            self._end("dropped")
        self._came.set()
        REPORTS_WAITING.set(len(self._waiting))
        return done

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._came.wait()
            self._came.clear()
            while self._waiting:
                if not await self._count(self._waiting[0]):
                    await asyncio.sleep(RETRY_S)  # nothing tells when a store is back

    async def _count(self, first: _Waiting) -> bool:
        """Bring one report to the store; return False if that has to be tried again."""
        age_s = self._clock() - first.since_s
        outcome = "counted"
        try:
            for part in parts_of(first.known, late=age_s > LATE_S):
                if part.index < first.parts_done:
                    continue
                counted = await self._store.count(part)
                ours = counted.counted or first.in_doubt
                first.parts_done, first.in_doubt = part.index + 1, False
                outcome = outcome if ours else "repeated"
                self._on_counted(part, replace(counted, counted=ours))
        except AUTHORITY_AWAY as exc:
            first.in_doubt = first.in_doubt or not isinstance(exc, CircuitOpen)
            if age_s < MAX_AGE_S:
                return False
            outcome = "dropped"
        if self._waiting and self._waiting[0] is first:
            self._end(outcome)
        REPORTS_WAITING.set(len(self._waiting))
        return True

    def _end(self, outcome: str) -> None:
        """Take the first report out of the queue."""
        waiting = self._waiting.popleft()
        self._rows -= len(waiting.known.rows)
        REPORTS.labels(outcome).inc()
        if not waiting.done.done():
            waiting.done.set_result(None)
