"""Safe mode: what a tenant may spend while the admission service itself is away."""

from __future__ import annotations

from trunkline_lease.bucket import TokenBucket
from trunkline_lease.options import LeaseOptions


class SafeShare:
    """What one tenant may spend while the admission service is away."""

    __slots__ = ("_bucket", "_unrefunded")

    def __init__(self, options: LeaseOptions, now_s: float) -> None:
        """Start with the burst of the options."""
        self._bucket = TokenBucket(options.safe_rate_tokens_per_s, options.safe_burst_tokens, now_s)
        self._unrefunded = 0

    def spend(self, tokens: int, now_s: float) -> float | None:
        """Spend all of `tokens` or none; return as `TokenBucket.take`."""
        delay_s = self._bucket.take(tokens, now_s)
        if delay_s == 0.0:
            self._unrefunded += tokens
        return delay_s

    def refund(self, tokens: int) -> int:
        """Take back up to `tokens` that were spent here; return how many were accepted."""
        accepted = min(tokens, self._unrefunded)
        self._unrefunded -= accepted
        self._bucket.give_back(accepted)
        return accepted
