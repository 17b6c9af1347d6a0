"""Times of one kind of call, looked at in windows, against the shortest that its windows ever showed."""

from __future__ import annotations

import math
from typing import Final

WINDOW_CALLS: Final = 60
WINDOW_S: Final = 0.1
"""A window has so many calls at least, and spans so long: fewer say nothing, and bursts of one instant are alike."""
SPAN_LONGEST: Final = 1.5
SPAN_MEAN: Final = 10.0
"""It also spans so many times its longest call, or its mean, whichever is less. Of calls that began together the short
ones end first: a window that ended with them would find everything quick."""
STALE_WINDOW_S: Final = 30.0
"""One that is not full by then is begun anew: it would mix times that have nothing to do with each other."""
_ERRORS_ABOVE: Final = 2.0
"""Standard errors by which a window's mean must lie below the base to lower it: luck is no evidence."""


class LatencyWindow:
    """Mean time of the calls of a window, and its base: what the calls take when nothing holds them up."""

    __slots__ = ("_count", "_longest_s", "_since_s", "_square", "_total", "base_s", "error_s", "mean_s", "used")

    def __init__(self, now_s: float) -> None:
        """Begin a window."""
        self.base_s = 0.0
        """Lowest mean of a window, by what is sure of it; 0 before the first window ended."""
        self.mean_s = 0.0
        self.error_s = 0.0
        """Mean of the last window, and the standard error of that mean."""
        self.used = 0.0
        """Most slots in use during the window."""
        self._count = 0
        self._longest_s = self._total = self._square = 0.0
        self._since_s = now_s

    def add(self, held_s: float, used: float, now_s: float) -> bool:
        """Take in a call; return True if that ends a window."""
        if now_s - self._since_s > STALE_WINDOW_S:
            self.begin_anew(now_s)
        if not self._count:
            self.used = 0.0
        self._count += 1
        self._total += held_s
        self._square += held_s * held_s
        self._longest_s = max(self._longest_s, held_s)
        self.used = max(self.used, used)
        span_s = now_s - self._since_s
        if self._count < WINDOW_CALLS or span_s < WINDOW_S:
            return False
        if span_s < SPAN_LONGEST * self._longest_s and span_s * self._count < SPAN_MEAN * self._total:
            return False
        self._end(now_s)
        return True

    def begin_anew(self, now_s: float) -> None:
        """Forget the window under way: what comes now is of other circumstances."""
        self._count = 0
        self._longest_s = self._total = self._square = 0.0
        self._since_s = now_s

    def rebase(self) -> None:
        """Take the last window for what the calls take."""
        self.base_s = self.mean_s

    def ratio(self) -> float:
        """Return how many times the base the last window's mean surely was."""
        return max(0.0, self.mean_s - self.error_s) / self.base_s if self.base_s > 0 else 1.0

    def _end(self, now_s: float) -> None:
        count = self._count
        self.mean_s = self._total / count
        self.error_s = math.sqrt(max(0.0, self._square / count - self.mean_s**2) / count)
        surely_s = self.mean_s + _ERRORS_ABOVE * self.error_s
        if not self.base_s or surely_s < self.base_s:
            self.base_s = surely_s
        self.begin_anew(now_s)
