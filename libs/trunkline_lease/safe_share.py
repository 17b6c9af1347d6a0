"""Safe mode: what a tenant may spend while the admission service itself is away."""

from __future__ import annotations

from trunkline_lease.bucket import TokenBucket
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.options import LeaseOptions


class SafeShare:
    """What one tenant may spend while the admission service is away: a bucket of requests and one of tokens."""

    __slots__ = ("_requests", "_tokens", "_unrefunded")

    def __init__(self, options: LeaseOptions, now_s: float) -> None:
        """Start with the bursts of the options."""
        self._requests = TokenBucket(options.safe_requests_per_s, options.safe_burst_requests, now_s)
        self._tokens = TokenBucket(options.safe_tokens_per_s, options.safe_burst_tokens, now_s)
        self._unrefunded = NOTHING

    def spend(self, charge: Charge, now_s: float) -> float | None:
        """Spend all of `charge` or nothing; return as `TokenBucket.take`, the longer delay of both."""
        waits = self._requests.take(charge.requests, now_s)
        if waits != 0.0:
            return waits
        waits = self._tokens.take(charge.tokens, now_s)
        if waits != 0.0:
            self._requests.give_back(charge.requests)
            return waits
        self._unrefunded += charge
        return 0.0

    def refund(self, charge: Charge) -> Charge:
        """Take back up to `charge` of what was spent here; return what was accepted."""
        accepted = charge.at_most(self._unrefunded)
        self._unrefunded = self._unrefunded.less(accepted)
        self._requests.give_back(accepted.requests)
        self._tokens.give_back(accepted.tokens)
        return accepted
