"""Lines that wait in memory while a disk takes none."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

MAX_BACKLOG_BYTES: Final = 4 << 20
"""Lines that wait; further ones are lost, and counted."""
RETRY_BYTES: Final = 256 << 10
"""About what goes into one write."""


class Waiting(NamedTuple):
    """A line that waits."""

    number: int
    line: bytes


class Backlog:
    """A bounded queue of lines. Whoever uses it from two threads holds a lock."""

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: deque[Waiting] = deque()
        self._size_bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, number: int, line: bytes) -> bool:
        """Keep a line; return False if there is no room for it."""
        if self._size_bytes + len(line) > MAX_BACKLOG_BYTES:
            return False
        self._lines.append(Waiting(number, line))
        self._size_bytes += len(line)
        return True

    def first(self) -> list[Waiting]:
        """Return the first lines, as many as go into one write; they stay."""
        some, size = [], 0
        for each in self._lines:
            some.append(each)
            size += len(each.line)
            if size >= RETRY_BYTES:
                break
        return some

    def drop(self, count: int) -> None:
        """Take the first so many lines out."""
        for _ in range(count):
            self._size_bytes -= len(self._lines.popleft().line)
