"""What was reported in the last seconds, in this replica's memory: its own view while the store is away."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from trunkline_admission.levels import FRESH_S, LATENCY_BUCKETS, WINDOW_S, Evidence
from trunkline_admission.seen import TierSeen

MAX_ROUTERS: Final = 1024
"""Routers whose last sequence number is remembered; the one that was silent longest makes room. So it is of those that
report another region's costs, apart from the routers."""


class _Second:
    """One second's sums by tier."""

    __slots__ = ("calls", "counts", "errors", "utilisation")

    def __init__(self) -> None:
        self.calls: dict[str, int] = {}
        self.errors: dict[str, int] = {}
        self.counts: dict[str, list[int]] = {}
        self.utilisation: dict[str, float] = {}

    def add(self, seen: TierSeen) -> None:
        """Add one router's account of a tier."""
        tier = seen.tier
        self.calls[tier] = self.calls.get(tier, 0) + seen.calls
        self.errors[tier] = self.errors.get(tier, 0) + seen.load_errors
        counts = self.counts.setdefault(tier, [0] * LATENCY_BUCKETS)
        for index, count in enumerate(seen.latency_counts):
            counts[index] += count
        self.utilisation[tier] = max(seen.utilisation, self.utilisation.get(tier, 0.0))


class ReportWindows:
    """Sums by second over the last WINDOW_S. Bounded: seconds, tiers of the tier file, MAX_ROUTERS routers."""

    def __init__(self) -> None:
        """Start without any report."""
        self._seconds: OrderedDict[int, _Second] = OrderedDict()
        self._routers: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._others: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def is_new(self, router: str, sequence: int, now_s: float, *, fronts: bool) -> bool:
        """Note the sequence number; return False for one that was noted before.

        Without `fronts` it is no router's but another region's, whose costs it tells.
        """
        sequences = self._routers if fronts else self._others
        known = sequences.pop(router, (0, 0.0))[0]
        sequences[router] = (max(known, sequence), now_s)
        if len(sequences) > MAX_ROUTERS:
            sequences.popitem(last=False)
        return sequence > known

    def add(self, tiers: Sequence[TierSeen], now_s: float) -> None:
        """Add what a router saw, as of `now_s`. A clock that was put back forgets what lies ahead of it."""
        second = int(now_s)
        for known in list(self._seconds):
            if not second - WINDOW_S < known <= second:
                del self._seconds[known]
        sums = self._seconds.setdefault(second, _Second())
        for seen in tiers:
            sums.add(seen)

    def evidence(self, now_s: float) -> dict[str, Evidence] | None:
        """Return what the last seconds say of each tier; None if nobody has reported in them."""
        newest = int(now_s)
        recent = {at: sums for at, sums in self._seconds.items() if newest - WINDOW_S < at <= newest}
        if not recent:
            return None
        tiers = {tier for sums in recent.values() for tier in sums.calls}
        return {tier: _summed(tier, recent, newest) for tier in tiers}

    def routers(self, now_s: float) -> int:
        """Return how many routers have reported in the last WINDOW_S."""
        return sum(1 for _, at_s in self._routers.values() if now_s - WINDOW_S < at_s <= now_s)


def _summed(tier: str, recent: dict[int, _Second], newest: int) -> Evidence:
    counts = [0] * LATENCY_BUCKETS
    for sums in recent.values():
        for index, count in enumerate(sums.counts.get(tier, ())):
            counts[index] += count
    fresh = [
        sums.utilisation[tier] for at, sums in recent.items() if at > newest - FRESH_S and tier in sums.utilisation
    ]
    return Evidence(
        calls=sum(sums.calls.get(tier, 0) for sums in recent.values()),
        errors=sum(sums.errors.get(tier, 0) for sums in recent.values()),
        latency_counts=tuple(counts),
        utilisation=max(fresh, default=None),
    )
