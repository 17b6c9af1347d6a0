"""A token bucket in this process: capacity, refill rate, and the time until enough is back."""

from __future__ import annotations

import math
from typing import Final

ROUNDING_S: Final = 1e-6
"""Added to every delay, so that rounding never brings a caller back an instant too early."""


class TokenBucket:
    """Grants at most `burst + rate * t` tokens in any span of `t` seconds, refunds aside.

    The classic token bucket: it starts full and refills linearly. The caller gives the time (seconds of one monotonic
    clock), so the bucket is a pure function of its calls. A clock that steps back refills nothing and locks nobody
    out; one that leaps ahead fills the bucket once. Not for several threads.
    """

    __slots__ = ("_at_s", "_tokens", "burst_tokens", "rate_tokens_per_s")

    def __init__(self, rate_tokens_per_s: float, burst_tokens: float, now_s: float) -> None:
        """Start full. Raises ValueError for a negative rate or burst."""
        if rate_tokens_per_s < 0 or burst_tokens < 0:
            raise ValueError("a bucket's rate and burst are not negative")
        self.rate_tokens_per_s = rate_tokens_per_s
        self.burst_tokens = burst_tokens
        self._tokens = burst_tokens
        self._at_s = now_s

    def available(self, now_s: float) -> float:
        """Return the tokens in the bucket, 0 to the burst."""
        self._refill(now_s)
        return self._tokens

    def take(self, tokens: int, now_s: float) -> float | None:
        """Take all of `tokens` (at least 1) or none.

        Returns 0.0 once taken, else the seconds until enough are back; None if they never can be, because they
        exceed the burst or the bucket does not refill.
        """
        self._refill(now_s)
        if tokens <= self._tokens:
            self._tokens -= tokens
            return 0.0
        return self.delay_s(tokens)

    def take_up_to(self, tokens: int, now_s: float) -> int:
        """Take whole tokens, as many as there are and at most `tokens`; return how many."""
        self._refill(now_s)
        taken = min(tokens, math.floor(self._tokens))
        self._tokens -= taken
        return taken

    def delay_s(self, tokens: int) -> float | None:
        """Return the seconds until `tokens` are in the bucket, None for never; as of the last call with a time."""
        if tokens > self.burst_tokens or self.rate_tokens_per_s <= 0:
            return None
        return max(0.0, (tokens - self._tokens) / self.rate_tokens_per_s) + ROUNDING_S

    def give_back(self, tokens: int) -> None:
        """Put unused tokens back; what exceeds the burst is void."""
        self._tokens = min(self.burst_tokens, self._tokens + tokens)

    def resize(self, rate_tokens_per_s: float, burst_tokens: float, now_s: float) -> None:
        """Go on with another rate and burst; what exceeds the new burst is void."""
        self._refill(now_s)
        self.rate_tokens_per_s = rate_tokens_per_s
        self.burst_tokens = burst_tokens
        self._tokens = min(self._tokens, burst_tokens)

    def _refill(self, now_s: float) -> None:
        elapsed_s = now_s - self._at_s
        self._at_s = now_s
        if elapsed_s > 0:
            self._tokens = min(self.burst_tokens, self._tokens + elapsed_s * self.rate_tokens_per_s)
