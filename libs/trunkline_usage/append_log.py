"""The writing of an append-only log: one writer, whole lines, each handed to the kernel before `append` returns.

What was handed over survives the end of the process, `kill -9` included. A power loss may take what was not synced yet:
at most `SYNC_EVERY_S` and the bytes of that time; see `GroupSync`.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.logs import get_logger
from trunkline_usage.backlog import Backlog
from trunkline_usage.segments import Header, Segment, segment_name, segments_of

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC

_FAILURES: Final = metrics.counter(
    "usage_journal_failures", "Writes and syncs of usage journals and search audits that failed.", ("log",)
)
_LOST: Final = metrics.counter(
    "usage_journal_lost", "Lines that were lost because the disk took none for too long.", ("log",)
)

log = get_logger("usage")


@dataclass(frozen=True, slots=True)
class LogSpec:
    """What a log is, and when it begins its next file."""

    log: str
    replica: str
    region: str
    jurisdiction: str
    segment_bytes: int
    """A file that has reached this is followed by another."""
    period_s: int
    """So is one that was begun in an earlier period of the Unix time."""


class AppendLog:
    """Writes one folder, whose lock the caller holds. `append` is for one thread; `flush` and `sync` for another."""

    def __init__(
        self, folder: Path, spec: LogSpec, *, number: int, journal: str, now: Callable[[], float] = time.time
    ) -> None:
        """Go on in `folder`, with a segment of its own; `number` is that of the next line."""
        self._folder = folder
        self._spec = spec
        self._now = now
        self._journal = journal or secrets.token_hex(8)
        self._last = segments[-1] if (segments := segments_of(folder, spec.log)) else None
        self._lock = threading.Lock()
        self._fd = -1
        self._size = 0
        self._period = 0
        self._retired: list[int] = []
        self._new_name = False
        self._backlog = Backlog()
        self._synced = True
        self.stir: Callable[[], None] = lambda: None
        """Called after something was written that is not synced."""
        self.unsynced_bytes = 0
        self.next_number = number
        """Of the next line. It is used up by a line that is lost, too, so that its absence shows."""
        self.lost = 0
        """Lines that were dropped since this began."""

    @property
    def healthy(self) -> bool:
        """False while lines wait for the disk, or the last sync failed."""
        return self._synced and not self._backlog

    def append(self, line: bytes) -> bool:
        """Hand a line, with its end, to the kernel; keep it in memory if the disk takes none. False if it is lost.

        It counts as the line `next_number` in any case.
        """
        with self._lock:
            taken = self._take(line)
            self.next_number += 1
        self.stir()
        return taken

    def lose(self) -> None:
        """Count a line that could not even be made; its number is used up."""
        with self._lock:
            self._lose()
            self.next_number += 1

    def flush(self) -> None:
        """Try to write what waits in memory. Raises nothing."""
        while self._backlog:
            with self._lock:
                some = self._backlog.first()
                try:
                    self._write(b"".join(each.line for each in some), some[0].number)
                except OSError as exc:
                    self._failed(exc)
                    return
                self._backlog.drop(len(some))
            if not self._backlog:
                log.info("a usage log is written again", name=self._spec.log, count=self.lost)

    def sync(self) -> None:
        """Make what was written durable, and close files that are done. Raises nothing."""
        with self._lock:
            done, self._retired = self._retired, []
            fd, new_name, self.unsynced_bytes = self._fd, self._new_name, 0
            self._new_name = False
        try:
            _sync_and_close(done)
            if fd >= 0:
                os.fdatasync(fd)
            if new_name:
                _sync_folder(self._folder)
        except OSError as exc:
            self._failed(exc)
            self._synced = False
            with self._lock:
                self._retire()  # what the kernel keeps of this file is not known any more: go on in another
            return
        self._synced = True

    def close(self) -> None:
        """Write and sync what is left; nothing may be appended afterwards. What the disk does not take now is lost."""
        self.flush()
        with self._lock:
            for _ in range(len(self._backlog)):
                self._lose()
            self._backlog = Backlog()
            self._retire()
        self.sync()

    def _take(self, line: bytes) -> bool:
        if not self._backlog:
            try:
                self._write(line, self.next_number)
            except OSError as exc:
                self._failed(exc)
            else:
                return True
        if self._backlog.add(self.next_number, line):
            return True
        self._lose()
        return False

    def _lose(self) -> None:
        self.lost += 1
        _LOST.labels(self._spec.log).inc()

    def _write(self, lines: bytes, number: int) -> None:
        """Write whole lines, the first of which has that number. Raises OSError; then none of them is in the file."""
        now_s = self._now()
        if self._fd < 0 or self._size >= self._spec.segment_bytes or int(now_s) // self._spec.period_s != self._period:
            self._begin(now_s, number)
        try:
            _write_whole(self._fd, lines)
        except OSError:
            self._cut()
            raise
        self._size += len(lines)
        self.unsynced_bytes += len(lines)

    def _cut(self) -> None:
        """Take back what was written in part; go on in another file where that fails, too."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self._retire()

    def _begin(self, now_s: float, number: int) -> None:
        begun_s = max(int(now_s), self._last.begun_s if self._last else 0)  # also where the clock was set back
        following = self._last.number + 1 if self._last else 1
        spec = self._spec
        header = Header(
            log=spec.log,
            journal=self._journal,
            number=following,
            first=number,
            replica=spec.replica,
            region=spec.region,
            jurisdiction=spec.jurisdiction,
            begun=datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds"),
        ).line()
        path = self._folder / segment_name(spec.log, begun_s, following)
        fd = os.open(path, _FLAGS, 0o600)
        try:
            _write_whole(fd, header)
        except OSError:
            os.close(fd)
            path.unlink(missing_ok=True)
            raise
        self._retire()
        self._fd, self._size, self._period, self._new_name = fd, len(header), int(now_s) // spec.period_s, True
        self._last = Segment(path, following, begun_s)

    def _retire(self) -> None:
        if self._fd >= 0:
            self._retired.append(self._fd)
            self._fd = -1

    def _failed(self, exc: OSError) -> None:
        _FAILURES.labels(self._spec.log).inc()
        if self.healthy:
            log.error("a usage log is not written", name=self._spec.log, error_type=type(exc).__name__)


def _sync_and_close(fds: Sequence[int]) -> None:
    try:
        for fd in fds:
            os.fdatasync(fd)
    finally:
        for fd in fds:
            os.close(fd)


def _write_whole(fd: int, data: bytes) -> None:
    # A disk that has room for a part has none for the rest: trying on would only end in the error that this is.
    if os.write(fd, data) != len(data):
        raise OSError("the disk took a part only")


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
