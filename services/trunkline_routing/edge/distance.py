"""How far a region is: measured round trips, in steps that hold still.

The mean is for people who read trails. The order of candidates rests on the smallest of the last few round trips: that
is the way itself, without what busy machines at its ends add (the idea of BBR's minimum round trip: Cardwell et al.,
"BBR: Congestion-Based Congestion Control", ACM Queue 14(5), 2016).
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

WEIGHT: Final = 0.2
"""Of a new measurement in the mean: an exponentially weighted moving average over some five of them."""
LAST: Final = 5
"""Round trips of which the smallest counts."""
NEAREST_S: Final = 0.005
"""Differences below this are noise of the machines, not distance."""
STEP: Final = 1.5
"""Each tier begins at so many times the one before."""
MARGIN: Final = 0.15
"""A region changes its tier only when it is past the border by this share: no flapping between two regions that are
about as far."""


class Distance:
    """The round trips to one region."""

    __slots__ = ("_last", "mean_s", "tier")

    def __init__(self, first_s: float) -> None:
        """Begin with one measurement, in seconds."""
        self._last: deque[float] = deque((first_s,), maxlen=LAST)
        self.mean_s = first_s
        """Mean round trip in seconds."""
        self.tier = _tier(first_s)
        """0 up to NEAREST_S, then one more for each STEP; regions of one tier count as equally far."""

    def add(self, round_trip_s: float) -> None:
        """Take one more measurement, in seconds."""
        self.mean_s += WEIGHT * (round_trip_s - self.mean_s)
        self._last.append(round_trip_s)
        least_s = min(self._last)
        nearest, farthest = _tier(least_s / (1 + MARGIN)), _tier(least_s * (1 + MARGIN))
        self.tier = min(max(self.tier, nearest), farthest)


def _tier(round_trip_s: float) -> int:
    if round_trip_s <= NEAREST_S:
        return 0
    return 1 + int(math.log(round_trip_s / NEAREST_S) / math.log(STEP))
