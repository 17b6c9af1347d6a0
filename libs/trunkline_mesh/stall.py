"""Notices that this process itself slept: stopped by a signal, starved of processor time, or blocked by a handler.

Clocks go on meanwhile. When it wakes, every call under way looks slow or timed out, and each would speak against a
dependency that did nothing wrong. Whoever learns from how long something took asks here first.
"""

from __future__ import annotations

import math
from typing import Final

from trunkline_mesh.clock import MONOTONIC, Clock

TICK_S: Final = 0.05
"""How often the event loop says that it runs."""
STALL_S: Final = 1.0
"""A loop that is silent for so much longer than a tick stalled. Half of what a breaker calls a slow call: less than
that cannot make a good call look bad."""
AFTERMATH_S: Final = 1.0
"""Calls that begin so soon after a stall are excused, too: connections whose pings went unanswered meanwhile are
noticed (their ping timeout is a second) and made anew."""


class StallDetector:
    """Knows when the process stalled last. Ticked by an event loop; without one it excuses nothing."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Wait for a loop to `begin`."""
        self._clock: Final = clock
        self._loops = 0
        self._ticked_s = 0.0
        self._ended_s = -math.inf

    def begin(self) -> None:
        """A loop will tick from now on, every TICK_S."""
        if not self._loops:
            self._ticked_s = self._clock()
        self._loops += 1

    def end(self) -> None:
        """A loop that began ticks no more."""
        self._loops -= 1

    def tick(self) -> None:
        """Say that the loop runs."""
        self._ticked_s = self._look()

    def excuses(self, started_s: float) -> bool:
        """Return True if what began at `started_s` (in the clock's time) and ends now overlaps a stall.

        Also true up to AFTERMATH_S after it. A loop that wakes from a stall may hand out answers before it ticks, so
        this looks at the clock itself.
        """
        self._look()
        return started_s < self._ended_s + AFTERMATH_S

    def _look(self) -> float:
        now_s = self._clock()
        if self._loops and now_s - self._ticked_s > STALL_S + TICK_S:
            self._ended_s = self._ticked_s = now_s
        return now_s


PROCESS_STALLS: Final = StallDetector()
"""The detector of this process; `loop_lag.watch_loop_lag` ticks it."""


def stalls_of(clock: Clock) -> StallDetector:
    """Return the process's detector if `clock` is its clock, else one that excuses nothing."""
    return PROCESS_STALLS if clock is MONOTONIC else StallDetector(clock)
