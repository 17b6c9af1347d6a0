"""The files of one log: begins them, writes whole lines to the last one, makes them durable."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trunkline_usage.segments import Header, Segment, segment_name, segments_of

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


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


@dataclass(frozen=True, slots=True)
class Unsynced:
    """What a sync has to do."""

    done: Sequence[int]
    """Files that nothing is written to any more, to be synced and closed."""
    current: int
    """The one that is written; below 0 for none."""
    folder: Path | None
    """Set where a file is new in it."""

    def sync(self) -> None:
        """Make it durable. Raises OSError; files that are done are closed all the same."""
        _sync_and_close(self.done)
        if self.current >= 0:
            os.fdatasync(self.current)
        if self.folder is not None:
            _sync_folder(self.folder)


class SegmentWriter:
    """Writes the files of a folder. One thread at a time."""

    def __init__(self, folder: Path, spec: LogSpec, journal: str, now: Callable[[], float]) -> None:
        """Go on in `folder`, with a file of its own, as the log with the id `journal`, or a new one."""
        self._folder = folder
        self._spec = spec
        self._now = now
        self._journal = journal or secrets.token_hex(8)
        self._last = segments[-1] if (segments := segments_of(folder, spec.log)) else None
        self._fd = -1
        self._size = 0
        self._period = 0
        self._retired: list[int] = []
        self._new_name = False
        self.begun = 0
        """Files begun since this one writes."""

    def begins(self) -> bool:
        """Return True if the next write begins a file."""
        spec = self._spec
        return self._fd < 0 or self._size >= spec.segment_bytes or int(self._now()) // spec.period_s != self._period

    def write(self, lines: bytes, number: int) -> None:
        """Write whole lines, the first of which has that number. Raises OSError; then none of them is in the file."""
        if self.begins():
            self._begin(self._now(), number)
        try:
            _write_whole(self._fd, lines)
        except OSError:
            self._cut()
            raise
        self._size += len(lines)

    def unsynced(self) -> Unsynced:
        """Return what a sync has to do; the files that are done are the caller's to close from now on."""
        done, self._retired = self._retired, []
        new_name, self._new_name = self._new_name, False
        return Unsynced(done, self._fd, self._folder if new_name else None)

    def retire(self) -> None:
        """Write no more to the last file: another one follows."""
        if self._fd >= 0:
            self._retired.append(self._fd)
            self._fd = -1

    def _cut(self) -> None:
        """Take back what was written in part; go on in another file where that fails, too."""
        try:
            os.ftruncate(self._fd, self._size)
        except OSError:
            self.retire()

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
        self.retire()
        self._fd, self._size, self._period, self._new_name = fd, len(header), int(now_s) // spec.period_s, True
        self._last = Segment(path, following, begun_s)
        self.begun += 1


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
