"""How long a slot is held on average, and what waits and refusals follow from it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from trunkline_mesh.clock import Clock
from trunkline_mesh.stall import STALL_S, stalls_of

INITIAL_HOLD_S: Final = 0.050
"""How long a slot is assumed to be held before any call has ended."""
MIN_PREDICTED_WAIT_S: Final = 0.010
"""The stage budget of admission and queue: a prediction below it is noise."""
_HOLD_SMOOTHING: Final = 0.1
_MAX_RETRY_DELAY_S: Final = 5.0


class HoldTime:
    """Learns how long slots are held; a stall of this process teaches it nothing."""

    def __init__(self, clock: Clock, rng: Callable[[], float] = random.random) -> None:
        """`rng` returns numbers in [0, 1)."""
        self._clock: Final = clock
        self._rng: Final = rng
        self._stalls: Final = stalls_of(clock)
        self.mean_s = INITIAL_HOLD_S

    def learn(self, held_s: float) -> bool:
        """Take in one time; return False if it is no evidence, because it was this process that slept."""
        if held_s >= STALL_S and self._stalls.excuses(self._clock() - held_s):
            return False
        self.mean_s += _HOLD_SMOOTHING * (held_s - self.mean_s)
        return True

    def to_serve_s(self, units: float, capacity: int) -> float:
        """Return the mean seconds until `units` are served by `capacity` units at once."""
        return units * self.mean_s / capacity

    def come_back_s(self, drained_s: float) -> float:
        """Return what a refused caller is told: when `drained_s` seconds are over, spread over twice as long."""
        return min(_MAX_RETRY_DELAY_S, max(MIN_PREDICTED_WAIT_S, drained_s) * (1.0 + self._rng()))
