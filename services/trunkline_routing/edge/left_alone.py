"""Which regions asked to be left alone for a while, and by whom."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from trunkline_mesh.clock import Clock

AWAY_S: Final = 1.0
"""How long an overloaded region is left alone where it does not say itself."""
AWAY_MIN_S: Final = 0.1
AWAY_MAX_S: Final = 5.0
"""Bounds of what it may say: one answer must not take a region out for minutes."""
AWAY_JITTER: Final = 0.2
"""Share by which that varies either way, so that callers do not come back in step."""
MAX_MARKS: Final = 4096
"""Overload marks kept; the oldest are forgotten first."""


class LeftAlone:
    """Marks by dependency, region and tenant; one event loop owns it."""

    def __init__(self, clock: Clock, rng: Callable[[], float]) -> None:
        """Nobody asked. `rng` gives numbers in [0, 1)."""
        self._clock: Final = clock
        self._rng: Final = rng
        self._until_s: OrderedDict[tuple[str, str, str], float] = OrderedDict()

    def ask(self, dependency: str, region_id: str, tenant_id: str, delay_s: float | None) -> None:
        """Mark a region; an empty tenant means: by everybody. Without `delay_s` for the usual time."""
        away_s = min(max(delay_s or AWAY_S, AWAY_MIN_S), AWAY_MAX_S)
        away_s *= 1.0 + AWAY_JITTER * (2.0 * self._rng() - 1.0)
        key = (dependency, region_id, tenant_id)
        self._until_s[key] = self._clock() + away_s
        self._until_s.move_to_end(key)
        while len(self._until_s) > MAX_MARKS:
            self._until_s.popitem(last=False)

    def asked(self, dependency: str, region_id: str, tenant_id: str) -> bool:
        """Return True while the region is to be left alone by the tenant, or by everybody."""
        if not self._until_s:
            return False
        own_s = self._until_s.get((dependency, region_id, tenant_id), -math.inf)
        return max(own_s, self._until_s.get((dependency, region_id, ""), -math.inf)) > self._clock()
