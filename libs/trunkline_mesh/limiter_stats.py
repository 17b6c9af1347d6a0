"""What became of the calls that asked a limiter for slots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Twin(Protocol):
    """A counter of the metrics page."""

    def inc(self) -> None:
        """Count one more."""
        ...


class Tally:
    """A count, and its twin on the metrics page if it has one there."""

    __slots__ = ("count", "twin")

    def __init__(self) -> None:
        """Begin with 0 and without a twin."""
        self.count = 0
        self.twin: Twin | None = None

    def inc(self) -> None:
        """Count one more."""
        self.count += 1
        if self.twin is not None:
            self.twin.inc()


@dataclass(slots=True)
class LimiterStats:
    """Calls since the start, by what became of them. Each call that asked for a slot is counted in one field;
    one that was parked asked twice."""

    at_once: int = 0
    after_wait: int = 0
    overloaded: int = 0
    """Refused: the queue, or the rank's or tenant's part of it, was full, or the predicted wait passed."""
    unreachable: int = 0
    """Refused: the wait would take, or took, more than half of the deadline."""
    too_late: int = 0
    """Refused: the deadline passed before the call could start, for example while the event loop was blocked."""
    pushed_out: int = 0
    """Refused while waiting, in favour of somebody with more right to wait."""
    cancelled: int = 0
    """The caller left while waiting."""
    preempted: int = 0
    """Ended while running, for work to which the slot was promised. Counted beside `at_once` or `after_wait`."""
