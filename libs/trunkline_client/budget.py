"""How many repeats a client may send, so that a failing region is not met with a storm."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

_BUCKETS: Final = 10


class RetryBudget:
    """Repeats within a sliding window: at most `floor`, or `ratio` of the requests of that window if that is more.

    Counted in ten buckets, so memory and time are constant. The rule is the retry budget of Twitter's Finagle and of
    Google's SRE book ("Handling Overload"): retries stay a fixed share of traffic whatever fails.
    """

    def __init__(
        self,
        ratio: float = 0.2,
        floor: int = 3,
        window_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not (0.0 <= ratio <= 1.0 and floor >= 0 and window_s > 0.0):
            raise ValueError("ratio must be 0 to 1, floor not negative and window_s positive")
        self._ratio = ratio
        self._floor = floor
        self._bucket_s = window_s / _BUCKETS
        self._clock = clock
        self._requests = [0] * _BUCKETS
        self._retries = [0] * _BUCKETS
        self._now = int(clock() / self._bucket_s)

    def record_request(self) -> None:
        """Count one request of the caller's; its repeats are counted by `try_spend`."""
        self._requests[self._advance()] += 1

    def available(self) -> bool:
        """Return whether a repeat could be sent now."""
        self._advance()
        return sum(self._retries) < max(self._floor, self._ratio * sum(self._requests))

    def try_spend(self) -> bool:
        """Take one repeat from the budget; False if none is left."""
        if not self.available():
            return False
        self._retries[self._now % _BUCKETS] += 1
        return True

    def _advance(self) -> int:
        now = int(self._clock() / self._bucket_s)
        for tick in range(self._now + 1, min(now, self._now + _BUCKETS) + 1):
            self._requests[tick % _BUCKETS] = 0
            self._retries[tick % _BUCKETS] = 0
        self._now = max(now, self._now)
        return self._now % _BUCKETS
