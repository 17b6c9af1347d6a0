"""The writing of an append-only log: one writer, whole lines, each handed to the kernel before its answer leaves.

What was handed over survives the end of the process, `kill -9` included. A power loss may take what was not synced yet:
at most `SYNC_EVERY_S` and the bytes of that time; see `GroupSync`.

A line is written by its caller, in the event loop: that takes some microseconds, and handing it to a thread and back
some hundred on an idle machine and many milliseconds on a busy one. What may keep the loop waiting is left to the
thread: beginning a file, and everything while the disk stalls.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.logs import get_logger
from trunkline_usage.backlog import Backlog
from trunkline_usage.disk_pace import DiskPace
from trunkline_usage.line_waiters import LineWaiters
from trunkline_usage.segment_writer import LogSpec, SegmentWriter

WAIT_S: Final = 0.05
"""How long an answer waits for its line while the thread writes; then it leaves with the line in memory alone."""

_FAILURES: Final = metrics.counter(
    "usage_journal_failures", "Writes and syncs of usage journals and search audits that failed.", ("log",)
)
_LOST: Final = metrics.counter(
    "usage_journal_lost", "Lines that were lost because the disk took none for too long.", ("log",)
)

log = get_logger("usage")


class AppendLog:
    """Writes one folder, whose lock the caller holds.

    `append` and `written` are for one thread, `flush` and `sync` for another. Until `stir` is set there is no other,
    and `append` writes everything by itself.
    """

    def __init__(
        self,
        folder: Path,
        spec: LogSpec,
        *,
        number: int,
        journal: str,
        now: Callable[[], float] = time.time,
        pace: DiskPace | None = None,
    ) -> None:
        """Go on in `folder`, with a segment of its own; `number` is that of the next line."""
        self._name = spec.log
        self._writer = SegmentWriter(folder, spec, journal, now)
        self._pace = pace or DiskPace(spec.log)
        self._lock = threading.Lock()
        """Of all state. Whoever writes to a disk that may stall does not hold it: see `flush`."""
        self._backlog = Backlog()
        self._stuck_since_s = 0.0
        """Since when the backlog has not become shorter; monotonic."""
        self._waiters = LineWaiters()
        self._synced = True
        self.failing = False
        """True while the disk takes no lines."""
        self.stir: Callable[[], None] | None = None
        """Called after something was appended that is not written, or not synced."""
        self.unsynced_bytes = 0
        self.next_number = number
        """Of the next line. It is used up by a line that is lost, too, so that its absence shows."""
        self.lost = 0
        """Lines that were dropped since this began."""

    @property
    def healthy(self) -> bool:
        """False while lines have to wait for the disk, or the last sync failed."""
        return self._synced and not self.failing and not self._stuck()

    @property
    def waiting(self) -> bool:
        """True while lines are in memory alone."""
        return bool(self._backlog)

    @property
    def files_begun(self) -> int:
        """How many files were begun since the log was opened."""
        return self._writer.begun

    def append(self, line: bytes) -> bool:
        """Hand a line, with its end, to the kernel, or to the thread; False if it is lost, for there is no room.

        It counts as the line `next_number` in any case.
        """
        with self._lock:
            taken = self._take(line)
            self.next_number += 1
        if self.stir is not None:
            self.stir()
        return taken

    def lose(self) -> None:
        """Count a line that could not even be made; its number is used up."""
        with self._lock:
            self._lose()
            self.next_number += 1

    async def written(self) -> None:
        """Wait until all lines so far are with the kernel; usually they are.

        Returns without that where the disk takes none, and after `WAIT_S` in which it took none.
        """
        if not self._backlog:
            return
        with self._lock:
            left_s = self._stuck_since_s + WAIT_S - time.monotonic()
            if not self._backlog or self.failing or left_s <= 0:
                return
            future = self._waiters.add(self.next_number)
        await asyncio.wait((future,), timeout=left_s)

    def flush(self) -> None:
        """Try to write what waits in memory. Raises nothing."""
        while True:
            with self._lock:
                some = self._backlog.first()
            if not some:
                return
            # Without the lock, so that nobody waits for this disk: while lines wait, only this thread writes.
            try:
                self._write(b"".join(each.line for each in some), some[0].number)
            except OSError as exc:
                self._failed(exc, writing=True)
                return
            with self._lock:
                self._backlog.drop(len(some))
                self._stuck_since_s = time.monotonic()
                self._waiters.written(some[-1].number)

    def sync(self) -> None:
        """Make what was written durable, and close files that are done. Raises nothing."""
        with self._lock:
            unsynced, self.unsynced_bytes = self._writer.unsynced(), 0
        self._pace.sync_begins()
        try:
            unsynced.sync()
        except OSError as exc:
            self._failed(exc, writing=False)
            with self._lock:
                self._writer.retire()  # what the kernel keeps of this file is not known any more: go on in another
            return
        finally:
            self._pace.sync_ends()
        self._synced = True

    def close(self) -> None:
        """Write and sync what is left; nothing may be appended afterwards. What the disk does not take now is lost."""
        self.flush()
        with self._lock:
            for _ in range(len(self._backlog)):
                self._lose()
            self._backlog = Backlog()
            self._writer.retire()
        self.sync()

    def _take(self, line: bytes) -> bool:
        alone = self.stir is None
        if not self._backlog and (alone or (not self._writer.begins() and self._pace.quick())):
            try:
                self._write(line, self.next_number)
            except OSError as exc:
                self._failed(exc, writing=True)
            else:
                return True
        if not self._backlog:
            self._stuck_since_s = time.monotonic()
        if self._backlog.add(self.next_number, line):
            return True
        self._lose()
        return False

    def _write(self, lines: bytes, number: int) -> None:
        since_s = self._pace.now()
        try:
            self._writer.write(lines, number)
        finally:
            self._pace.wrote(since_s)
        self.unsynced_bytes += len(lines)
        if self.failing:
            self.failing = False
            log.info("a usage log is written again", name=self._name, count=self.lost)

    def _stuck(self) -> bool:
        return bool(self._backlog) and time.monotonic() - self._stuck_since_s >= WAIT_S

    def _lose(self) -> None:
        self.lost += 1
        _LOST.labels(self._name).inc()

    def _failed(self, exc: OSError, *, writing: bool) -> None:
        _FAILURES.labels(self._name).inc()
        if self._synced and not self.failing:
            log.error("a usage log is not written", name=self._name, error_type=type(exc).__name__)
        if writing:
            self.failing = True
        else:
            self._synced = False
