"""How much of their traffic regions take that serve again since a short time."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import RegionEntry
from trunkline_mesh.clock import Clock

RAMP_FLOOR: Final = 0.05
"""Share of the traffic that a region gets at once when it serves again."""


@dataclass(slots=True)
class _Ramp:
    since_s: float
    """The map's `serving_since_s`: which ramp it is."""
    seen_s: float
    """When this process saw it first, by its own clock."""
    before_s: float
    """How much of it was over by then, as the wall clock says. Asked once: later jumps change nothing."""


class Ramps:
    """Of each region that the map gives a ramp."""

    def __init__(self, clock: Clock, wall_clock: Clock) -> None:
        """Have seen none. `wall_clock` tells Unix time."""
        self._clock: Final = clock
        self._wall_clock: Final = wall_clock
        self._ramps: dict[str, _Ramp] = {}

    def share(self, region: RegionEntry) -> float:
        """Return the share of its traffic that a region takes, RAMP_FLOOR to 1: it grows linearly over `ramp_s`."""
        if region.ramp_s <= 0:
            return 1.0
        ramp = self._ramps.get(region.region_id)
        now_s = self._clock()
        if ramp is None or ramp.since_s != region.serving_since_s:
            before_s = max(0.0, self._wall_clock() - region.serving_since_s)
            ramp = self._ramps[region.region_id] = _Ramp(region.serving_since_s, now_s, before_s)
        passed = (ramp.before_s + now_s - ramp.seen_s) / region.ramp_s
        return min(1.0, RAMP_FLOOR + (1.0 - RAMP_FLOOR) * passed)

    def forget_others(self, kept: Container[str]) -> None:
        """Forget every region but those of `kept`."""
        self._ramps = {name: ramp for name, ramp in self._ramps.items() if name in kept}
