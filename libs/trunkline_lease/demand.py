"""How much of one currency a tenant's next ask should want."""

from __future__ import annotations

import math
from typing import Final

CAP_GROWTH: Final = 2
"""An ask may be this many times what the last one got."""


class Demand:
    """The recent rate of one currency, requests or tokens, and how much the authority gave lately.

    The rate follows a rise at once and a fall by half with each ask. Asks start small and double with each full answer,
    so that a few quick requests do not take all that a small tenant has; after an answer that fell short they start
    small again. What spenders wait for is always asked for.
    """

    __slots__ = ("_cap", "_first", "_most", "_rate_per_s", "_spent_before")

    def __init__(self, *, first: int, most: int) -> None:
        """Ask for `first` while nothing is known, and never for more than `most`."""
        self._first = first
        self._most = most
        self._cap = first * CAP_GROWTH
        self._rate_per_s = 0.0
        self._spent_before = 0

    def wanted(self, *, spent: int, held: int, missing: int, elapsed_s: float, horizon_s: float) -> int:
        """Return what to ask for, 0 if what is held is enough.

        `spent` counts since the beginning; `elapsed_s` passed since the last call; `missing` is what spenders lack who
        wait now.
        """
        measured = (spent - self._spent_before) / elapsed_s
        self._spent_before = spent
        self._rate_per_s = max(measured, (measured + self._rate_per_s) / 2)
        target = max(math.ceil(self._rate_per_s * horizon_s), self._first)
        wish = 0 if held > target else min(self._cap, target)
        return min(self._most, max(wish, missing))

    def note(self, *, wanted: int, granted: int) -> None:
        """Remember how an ask was answered."""
        if granted < wanted:
            self._cap = granted * CAP_GROWTH
        elif wanted > 0:
            self._cap = min(self._most, max(self._cap, wanted * CAP_GROWTH))
