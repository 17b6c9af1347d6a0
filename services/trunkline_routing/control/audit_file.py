"""The append-only file's own writing: one writer, whole lines, synced, rotated by size. Blocks: call it in a thread."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from trunkline_map import audit

LOCK_NAME: Final = "audit.lock"

RESUMED_BY: Final = ("revision", "entry", "token", "previous")
"""What every line has, and a writer goes on from."""


class AuditBusyError(Exception):
    """Another process writes this directory."""


class AuditDamagedError(Exception):
    """The last line is whole and yet no line of an audit log: somebody should look before anything is added."""


class AuditFile:
    """The last file of a directory. Use it within `opened`."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Begin a new file once the last one holds `max_bytes`."""
        self._directory = directory
        self._max_bytes = max_bytes
        self._number = 1
        self._size = 0
        self._fd = -1
        self.previous = audit.GENESIS
        """Hash of the last line."""
        self.last: Mapping[str, Any] | None = None
        """What the last line tells of `RESUMED_BY`; None before the first."""

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Hold the directory alone, and cut off a line that was torn when its writer died.

        Raises AuditBusyError, AuditDamagedError and OSError.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise AuditBusyError from exc
            self._recover()
            yield
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1
            os.close(lock)

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield what all lines tell, from the first on. Raises ValueError for one that is none, and OSError."""
        return audit.read(self._directory)

    def append(self, changes: Sequence[Mapping[str, Any]]) -> None:
        """Add a line for each change, all of them on disk when it returns. Raises OSError; nothing is added then."""
        if self._size >= self._max_bytes:
            self._open(self._number + 1)
        previous, lines = self.previous, bytearray()
        for change in changes:
            line = audit.line_of(change, previous)
            previous = audit.hash_of(line)
            lines += line + b"\n"
        try:
            _write_all(self._fd, lines)
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, self._size)
            raise
        self._size += len(lines)
        self.previous, self.last = previous, changes[-1]

    def _recover(self) -> None:
        self.previous, self.last = audit.GENESIS, None
        files = audit.files_of(self._directory)
        self._open(audit.file_number(files[-1]) if files else 1)
        for path in reversed(files):
            whole = _last_line(path, self._fd if path == files[-1] else -1)
            if path == files[-1]:
                self._size = os.fstat(self._fd).st_size
            if whole is None:
                continue  # it was begun, and its writer died before the first line
            try:
                told = json.loads(whole)
                self.previous, self.last = audit.hash_of(whole), {name: told[name] for name in RESUMED_BY}
            except (ValueError, TypeError, KeyError) as exc:
                raise AuditDamagedError(f"{path.name} ends with a line that is none") from exc
            return

    def _open(self, number: int) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(self._directory / audit.file_name(number), flags, 0o600)
        self._number, self._size = number, os.fstat(self._fd).st_size
        folder = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # the new name must survive a crash, too
        finally:
            os.close(folder)


def _write_all(fd: int, data: bytes | bytearray) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def _last_line(path: Path, fd: int) -> bytes | None:
    """Return the last whole line without its end; None if there is none. With `fd`, cut off what is torn after it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        begin = max(0, size - 2 * audit.MAX_LINE_BYTES)
        file.seek(begin)
        tail = file.read()
    end = tail.rfind(b"\n") + 1
    if begin and not end:
        raise AuditDamagedError(f"{path.name} ends with a line beyond the bound")
    if fd >= 0 and end < len(tail):
        os.ftruncate(fd, begin + end)
        os.fsync(fd)
    if not end:
        return None
    return tail[tail.rfind(b"\n", 0, end - 1) + 1 : end - 1]
