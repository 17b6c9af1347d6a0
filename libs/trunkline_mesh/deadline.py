"""Deadlines as budgets: every hop gets less than its caller has left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from trunkline_mesh.errors import DeadlineExceeded

HOP_RESERVE_S: Final = 0.005
"""Kept back from every hop's timeout, so that a callee's expiry still reaches our caller as an answer."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in monotonic time by which work must be done."""

    at_s: float
    """Value of `time.monotonic()` at expiry."""

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        """Return the deadline `seconds` from now."""
        return cls(time.monotonic() + seconds)

    def remaining_s(self) -> float:
        """Return the seconds left; never negative."""
        left = self.at_s - time.monotonic()
        return left if left > 0.0 else 0.0

    def expired(self) -> bool:
        """Return True once no time is left."""
        return time.monotonic() >= self.at_s

    def within(self, cap_s: float, *, reserve_s: float = 0.0) -> Deadline:
        """Return the earlier of `cap_s` from now and this deadline less `reserve_s`: deadlines only shrink."""
        return Deadline(min(time.monotonic() + cap_s, self.at_s - reserve_s))

    def require(self, floor_s: float = 0.0) -> float:
        """Return the seconds left; raise DeadlineExceeded if none or fewer than `floor_s` are."""
        left = self.at_s - time.monotonic()
        if left <= 0.0 or left < floor_s:
            raise DeadlineExceeded
        return left
