"""Safe mode: what a tenant may spend while the admission service itself is away."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from trunkline_lease.bucket import TokenBucket
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.options import LeaseOptions
from trunkline_mesh.errors import Overloaded


@dataclass(frozen=True, slots=True)
class SafeRate:
    """One limit of a safe share; neither is negative."""

    per_s: float
    burst: float


@dataclass(frozen=True, slots=True)
class SafeLimits:
    """A safe share: all of its limits hold. Without a limit of requests there is no share at all."""

    requests: tuple[SafeRate, ...] = ()
    tokens: tuple[SafeRate, ...] = ()
    rank: int = 0
    """Told where the one who grants has not told the tenant's."""

    def refusal(self, charge: Charge, retry_delay_s: float) -> Overloaded:
        """Return the error of what the share does not have now; `retry_delay_s` where that changes.

        Without a delay for what exceeds a burst: then `unit` and `limit`, the most that it ever has, are in the
        metadata. Where there is no share at all, only the one who grants can help, soon perhaps.
        """
        if not self.requests:
            return Overloaded(retry_delay_s=retry_delay_s)
        for unit, wanted, rates in (
            ("requests", charge.requests, self.requests),
            ("tokens", charge.tokens, self.tokens),
        ):
            most = min((rate.burst for rate in rates), default=math.inf)
            if wanted > most:
                return Overloaded(metadata={"scope": "tenant", "unit": unit, "limit": str(math.floor(most))})
        return Overloaded(retry_delay_s=retry_delay_s)


SafeOf: TypeAlias = Callable[[str, str], SafeLimits]
"""Returns the safe share of a tenant, or of one of its credentials (its subject, else empty)."""

NO_SHARE: Final = SafeLimits()


def same_for_all(options: LeaseOptions) -> SafeOf:
    """Return what gives every tenant the safe share of the options; with a burst of 0 requests none."""
    limits = NO_SHARE
    if options.safe_burst_requests > 0:
        limits = SafeLimits(
            (SafeRate(options.safe_requests_per_s, options.safe_burst_requests),),
            (SafeRate(options.safe_tokens_per_s, options.safe_burst_tokens),),
            options.safe_rank,
        )
    return lambda _tenant_id, _key: limits


class SafeShare:
    """What one tenant may spend while the admission service is away: buckets of requests and of tokens."""

    __slots__ = ("_requests", "_tokens", "_unrefunded", "limits")

    def __init__(self, limits: SafeLimits, now_s: float) -> None:
        """Start with the bursts of the limits."""
        self.limits: Final = limits
        self._requests = [TokenBucket(each.per_s, each.burst, now_s) for each in limits.requests]
        self._tokens = [TokenBucket(each.per_s, each.burst, now_s) for each in limits.tokens]
        self._unrefunded = NOTHING

    def spend(self, charge: Charge, now_s: float) -> bool:
        """Spend all of `charge`, or nothing and return False."""
        if not self._requests or not _take(self._requests, charge.requests, now_s):
            return False
        if not _take(self._tokens, charge.tokens, now_s):
            _give_back(self._requests, charge.requests)
            return False
        self._unrefunded += charge
        return True

    def refund(self, charge: Charge) -> Charge:
        """Take back up to `charge` of what was spent here; return what was accepted."""
        accepted = charge.at_most(self._unrefunded)
        self._unrefunded = self._unrefunded.less(accepted)
        _give_back(self._requests, accepted.requests)
        _give_back(self._tokens, accepted.tokens)
        return accepted


def _take(buckets: list[TokenBucket], tokens: int, now_s: float) -> bool:
    """Take from all buckets, or from none."""
    for index, bucket in enumerate(buckets):
        if bucket.take(tokens, now_s) != 0.0:
            _give_back(buckets[:index], tokens)
            return False
    return True


def _give_back(buckets: Iterable[TokenBucket], tokens: int) -> None:
    for bucket in buckets:
        bucket.give_back(tokens)
