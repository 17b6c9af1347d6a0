"""One limit's local bucket."""

from __future__ import annotations

import math
from typing import Final

from trunkline_admission.quota import BucketLimit, LimitState, Period, QuotaSource, Refusal, Scope, Unit

ROUNDING_S: Final = 1e-6
"""Added to every delay, so that rounding never brings a caller back an instant too early."""


class LocalBucket:
    """A token bucket that may be in debt, at most by its burst. The caller gives the time, in seconds of one clock.

    A clock that steps back refills nothing and locks nobody out; one that leaps ahead fills the bucket once.
    """

    __slots__ = ("_at_s", "_burst", "_level", "_rate_per_s", "kind", "unit")

    def __init__(self, scope: Scope, period: Period, unit: Unit, limit: BucketLimit, now_s: float) -> None:
        """Start full. A rate and burst of 0 grant nothing, ever."""
        self.kind = (scope, period, unit)
        self.unit = unit
        self._rate_per_s = limit.rate_per_s
        self._burst = limit.burst
        self._level = limit.burst
        self._at_s = now_s

    @property
    def whole(self) -> int:
        """Whole units at hand, as of the last turn; 0 in debt."""
        return max(0, math.floor(self._level))

    def turn(self, now_s: float, advanced: int, returned: int) -> None:
        """Refill; book what was spent before it was granted; put back what was not spent."""
        elapsed_s = max(0.0, now_s - self._at_s)
        self._at_s = now_s
        level = min(self._burst, self._level + elapsed_s * self._rate_per_s)
        self._level = min(self._burst, max(-self._burst, level - advanced) + returned)

    def take(self, units: int) -> None:
        """Take what is at hand."""
        self._level -= units

    def go_on_from(self, earlier: LocalBucket | None) -> None:
        """Take over the level and time of a bucket with another limit; what exceeds the burst is void."""
        if earlier is not None:
            self._level = max(-self._burst, min(self._burst, earlier._level))  # noqa: SLF001 - of the same class
            self._at_s = earlier._at_s  # noqa: SLF001 - of the same class

    def refusal(self, wanted: int) -> Refusal:
        """Return the refusal of `wanted`, which are not there; without a delay if they never are."""
        scope, period, unit = self.kind
        if self._rate_per_s <= 0:
            return Refusal(scope, period, unit, None)
        most = math.floor(self._burst)
        if wanted > most:
            return Refusal(scope, period, unit, None, most)
        return Refusal(scope, period, unit, (wanted - self._level) / self._rate_per_s + ROUNDING_S, most)

    def state(self, *, overridden: bool) -> LimitState:
        """Return the state as of the last turn."""
        scope, period, unit = self.kind
        missing = math.ceil(self._burst - self._level)
        rate = period is Period.RATE
        return LimitState(
            scope,
            period,
            unit,
            limit=round(self._rate_per_s * 60) if rate else math.floor(self._burst),
            used=missing,
            burst=math.floor(self._burst) if rate else 0,
            overridden=overridden,
            source=QuotaSource.LOCAL,
        )
