"""When a second try beside the first is worth it: after the region's own p95, and for a bounded share of the traffic.

Source: Dean and Barroso, "The Tail at Scale", CACM 56(2), 2013: a second request after the 95th percentile adds at most
5 % of load and cuts the tail.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.rolling_window import RollingWindow

MAX_SHARE: Final = 0.05
"""Hedges are never more of the traffic than this."""
WINDOW_S: Final = 10.0
SAMPLES: Final = 200
"""Calls whose times a region's p95 rests on."""
MIN_SAMPLES: Final = 50
"""With fewer the tail is not known, and nothing is hedged."""
RENEW_EVERY: Final = 20
"""The p95 is computed anew after so many calls."""
MAX_REGIONS: Final = 64


class _Times:
    """The times of a region's last calls, and their p95."""

    __slots__ = ("_fresh", "_p95_s", "_taken")

    def __init__(self) -> None:
        self._taken: deque[float] = deque(maxlen=SAMPLES)
        self._fresh = 0
        self._p95_s: float | None = None

    def add(self, took_s: float) -> None:
        self._taken.append(took_s)
        self._fresh += 1
        if self._fresh >= RENEW_EVERY and len(self._taken) >= MIN_SAMPLES:
            self._fresh = 0
            ordered = sorted(self._taken)
            self._p95_s = ordered[int(len(ordered) * 0.95)]

    @property
    def p95_s(self) -> float | None:
        return self._p95_s


class Hedges:
    """Decides whether and when to hedge. One event loop owns it."""

    def __init__(self, share: float, *, clock: Clock = MONOTONIC) -> None:
        """Hedge at most `share` of the calls, 0 to MAX_SHARE; 0 never. Raises ValueError otherwise."""
        if not 0 <= share <= MAX_SHARE:
            raise ValueError(f"a share of hedges must be 0 to {MAX_SHARE}")
        self._share: Final = share
        self._clock: Final = clock
        self._calls = RollingWindow(WINDOW_S)
        self._hedges = RollingWindow(WINDOW_S)
        self._times: dict[str, _Times] = {}

    @property
    def enabled(self) -> bool:
        """True if anything may be hedged at all."""
        return self._share > 0

    def began(self) -> None:
        """Count a call that may be hedged."""
        self._calls.add(self._clock(), mark=False)

    def took(self, region_id: str, seconds: float) -> None:
        """Learn how long a good answer took; losers, failures and hedges are not told here."""
        times = self._times.get(region_id)
        if times is None:
            if len(self._times) >= MAX_REGIONS:
                self._times.clear()
            times = self._times[region_id] = _Times()
        times.add(seconds)

    def delay_s(self, region_id: str) -> float | None:
        """Return after how long a call to the region is worth a hedge; None while that is not known."""
        times = self._times.get(region_id)
        return times.p95_s if times is not None else None

    def try_spend(self) -> bool:
        """Take one hedge; False, and nothing taken, where the window's share is used up."""
        now_s = self._clock()
        self._calls.advance(now_s)
        self._hedges.advance(now_s)
        if self._hedges.total + 1 > self._share * self._calls.total:
            return False
        self._hedges.add(now_s, mark=False)
        return True
