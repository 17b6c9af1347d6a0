"""Counts over the last seconds, in constant memory and constant time."""

from __future__ import annotations

from typing import Final


class RollingWindow:
    """How many events, and how many marked ones, happened in the last `window_s` seconds.

    Events are kept in `slots` equal slots, so the window really covers between `window_s * (1 - 1 / slots)` and
    `window_s`: it never reports an event that is older than the window. Not thread-safe; one event loop owns it.
    """

    __slots__ = ("_marked", "_per_second", "_slot", "_slots", "_totals", "marked", "total")

    def __init__(self, window_s: float, *, slots: int = 20) -> None:
        """Cover `window_s` seconds, above 0, with `slots` slots, at least 2. Raises ValueError otherwise."""
        if window_s <= 0 or slots < 2:
            raise ValueError(f"a window of {window_s} s in {slots} slots covers nothing")
        self._slots: Final = slots
        self._per_second: Final = slots / window_s
        self._totals = [0] * slots
        self._marked = [0] * slots
        self._slot = 0
        self.total = 0
        """Events in the window, as of the last `add` or `advance`."""
        self.marked = 0
        """Marked events in the window, as of the last `add` or `advance`."""

    def add(self, now_s: float, *, mark: bool) -> None:
        """Count one event at `now_s`; a time before the newest event counts as that event's time."""
        slot = int(now_s * self._per_second)
        if slot > self._slot:
            self._advance_to(slot)
        index = self._slot % self._slots
        self._totals[index] += 1
        self.total += 1
        if mark:
            self._marked[index] += 1
            self.marked += 1

    def advance(self, now_s: float) -> None:
        """Forget what is older than the window at `now_s`."""
        slot = int(now_s * self._per_second)
        if slot > self._slot:
            self._advance_to(slot)

    def clear(self) -> None:
        """Forget everything."""
        self._totals = [0] * self._slots
        self._marked = [0] * self._slots
        self.total = self.marked = 0

    def _advance_to(self, slot: int) -> None:
        for passed in range(self._slot + 1, min(slot, self._slot + self._slots) + 1):
            index = passed % self._slots
            self.total -= self._totals[index]
            self.marked -= self._marked[index]
            self._totals[index] = self._marked[index] = 0
        self._slot = slot
