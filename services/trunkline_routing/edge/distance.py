"""How far a region is: the mean of measured round trips, in steps that hold still."""

from __future__ import annotations

import math
from typing import Final

WEIGHT: Final = 0.2
"""Of a new measurement in the mean: an exponentially weighted moving average over some five of them."""
NEAREST_S: Final = 0.002
"""Differences below this are noise of the machines, not distance."""
STEP: Final = 1.5
"""Each tier begins at so many times the one before."""
MARGIN: Final = 0.15
"""A region changes its tier only when its mean is past the border by this share: no flapping between two regions that
are about as far."""


class Distance:
    """The round trips to one region."""

    __slots__ = ("mean_s", "tier")

    def __init__(self) -> None:
        """Know none; the first one must be added before anything is read."""
        self.mean_s = -1.0
        """Mean round trip in seconds."""
        self.tier = 0
        """0 up to NEAREST_S, then one more for each STEP; regions of one tier count as equally far."""

    def add(self, round_trip_s: float) -> None:
        """Take one measurement, in seconds."""
        if self.mean_s < 0:
            self.mean_s = round_trip_s
            self.tier = _tier(round_trip_s)
            return
        self.mean_s += WEIGHT * (round_trip_s - self.mean_s)
        nearer, farther = _tier(self.mean_s * (1 + MARGIN)), _tier(self.mean_s / (1 + MARGIN))
        if nearer < self.tier:
            self.tier = nearer
        elif farther > self.tier:
            self.tier = farther


def _tier(round_trip_s: float) -> int:
    if round_trip_s <= NEAREST_S:
        return 0
    return 1 + int(math.log(round_trip_s / NEAREST_S) / math.log(STEP))
