"""What one replica holds of a tier's pool: drawn ahead of time, spent in memory, given back when it grows old."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

MEMORY_S: Final = 1.0
"""Over how long demand is averaged (time constant of an exponential average)."""
AHEAD_S: Final = 0.5
"""A share is drawn for the demand of so long."""
MIN_AHEAD: Final = 16
"""A tier that is asked for at all holds this many requests: its next ask need not wait."""
MAX_PART: Final = 1 / 64
"""Of a pool's burst: a share holds no more ahead, so that replicas do not leave each other nothing."""
MIN_TURN_S: Final = 0.001


@dataclass(slots=True)
class Piece:
    """Requests, with the pools that they came from."""

    own: int = 0
    lent: dict[str, int] = field(default_factory=dict)
    """By lender."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.own + sum(self.lent.values()) if self.lent else self.own

    def take(self, most: int) -> Piece:
        """Split off at most so many; its own first, so that lenders get back what was not needed."""
        taken = Piece(min(most, self.own))
        self.own -= taken.own
        rest = most - taken.own
        if rest > 0 and self.lent:
            for lender, held in self.lent.items():
                lent = min(rest, held)
                rest -= lent
                taken.lent[lender] = lent
                self.lent[lender] = held - lent
        return taken

    def add(self, other: Piece) -> None:
        """Take in all of another piece, which is empty then."""
        self.own += other.own
        for lender, lent in other.lent.items():
            self.lent[lender] = self.lent.get(lender, 0) + lent
        other.own, other.lent = 0, {}


class PoolShare:
    """One tier's share, in two generations: the older one is spent first, and given back at the next turn.

    While it is turned every `turn_s`, no request stays for more than twice that.
    """

    def __init__(self, burst: float, *, turn_s: float, now_s: float) -> None:
        """Hold nothing yet, of a pool that holds `burst`."""
        self._old = Piece()
        self._fresh = Piece()
        self._ahead_at_most = max(1, int(burst * MAX_PART))
        self._turn_s = turn_s
        self._turned_at_s = now_s
        self._demand_per_s = 0.0
        self._demand_at_s = now_s

    @property
    def held(self) -> int:
        """Requests at hand."""
        return self._old.total + self._fresh.total

    @property
    def ahead(self) -> int:
        """Requests that should be at hand after a draw."""
        return min(self._ahead_at_most, max(MIN_AHEAD, math.ceil(self._demand_per_s * AHEAD_S)))

    def note(self, requests: int, now_s: float) -> None:
        """Learn that so many were spent."""
        elapsed_s = max(0.0, now_s - self._demand_at_s)
        self._demand_per_s = self._demand_per_s * math.exp(-elapsed_s / MEMORY_S) + requests / MEMORY_S
        self._demand_at_s = now_s

    def take(self, most: int) -> Piece:
        """Return at most so many of those at hand."""
        piece = self._old.take(most)
        missing = most - piece.total
        if missing > 0:
            piece.add(self._fresh.take(missing))
        return piece

    def fill(self, piece: Piece) -> None:
        """Keep what was drawn."""
        self._fresh.add(piece)

    def give_back(self, piece: Piece) -> None:
        """Keep what was taken and not spent; it is among the first to be spent, or to go back."""
        self._old.add(piece)

    def due_in_s(self, now_s: float) -> float:
        """Return the seconds until the next turn; a timer may fire a hair early by rounding, so never almost none."""
        return max(MIN_TURN_S, min(self._turn_s, self._turned_at_s + self._turn_s - now_s))

    def turn(self, now_s: float) -> Piece:
        """Return what must go back to the pool now: the older generation if it is time, else nothing."""
        if 0.0 <= now_s - self._turned_at_s < self._turn_s:
            return Piece()
        due, self._old, self._fresh = self._old, self._fresh, Piece()
        self._turned_at_s = now_s
        return due

    def clear(self) -> Piece:
        """Return everything."""
        everything = self._old
        everything.add(self._fresh)
        self._old = Piece()
        return everything
