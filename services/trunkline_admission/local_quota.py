"""Quotas of this replica alone: what each tenant keeps while the store is away."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_admission.local_bucket import LocalBucket
from trunkline_admission.quota import (
    BucketLimit,
    Grant,
    Limits,
    LimitState,
    Period,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_lease.charge import NOTHING, Charge
from trunkline_mesh.clock import MONOTONIC, Clock

LOCAL_PART: Final = 0.5
"""Of what a tier keeps without the store: replicas do not know of each other, and the store may have granted the same
just before."""
MIN_BURST: Final = {Unit.REQUESTS: 1.0, Unit.TOKENS: 10.0}
"""Where there is a local share at all, an ordinary search fits into its burst."""
PERIOD_S: Final = {Period.DAY: 86_400.0, Period.MONTH: 30 * 86_400.0}
"""Over which the local part of a daily or monthly number flows back."""

_Buckets = tuple[LocalBucket, ...]


@dataclass(slots=True)
class _Kept:
    """One tenant's buckets, and those of one of its keys."""

    quota: TenantQuota
    buckets: _Buckets


class LocalQuota:
    """A `QuotaAuthority` that waits for nobody: `without_store_share` x 0.5 / replicas of each limit.

    A rate keeps its bucket, smaller. A number for a day or month becomes a bucket that holds its part and refills over
    the period: what was used before is not known here, so an outage of t adds at most the part x (1 + t / period).
    For at most `max_tenants` tenants and keys; one that others push out starts with full buckets when it comes back.
    """

    def __init__(self, *, replicas: int, max_tenants: int, clock: Clock = MONOTONIC) -> None:
        """Start with full buckets."""
        self._replicas = replicas
        self._max_tenants = max_tenants
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`."""
        buckets, now_s = self._buckets(quota, key), self._clock()
        room = {Unit.REQUESTS: wanted.requests, Unit.TOKENS: wanted.tokens}
        refusal: Refusal | None = None
        for bucket in buckets:
            bucket.turn(now_s, _of(advanced, bucket.unit), _of(returned, bucket.unit))
            asked = _of(wanted, bucket.unit)
            room[bucket.unit] = min(room[bucket.unit], bucket.whole)
            if asked > 0 and bucket.whole < 1:
                refusal = _later(refusal, bucket.refusal(asked))
        if refusal is not None:
            return Grant(NOTHING, QuotaSource.LOCAL, refusal)
        granted = Charge(room[Unit.REQUESTS], room[Unit.TOKENS])
        for bucket in buckets:
            bucket.take(_of(granted, bucket.unit))
        return Grant(granted, QuotaSource.LOCAL)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`: of this replica's share."""
        now_s, states = self._clock(), []
        for bucket in self._buckets(quota, key):
            bucket.turn(now_s, 0, 0)
            states.append(bucket.state(overridden=quota.limits.overridden))
        return states

    def _buckets(self, quota: TenantQuota, key: str) -> _Buckets:
        """Return the tenant's buckets at its present quota, and the key's, most recently used."""
        found = self._one(quota, "", Scope.TENANT, quota.limits)
        of_key = quota.keys.get(key)
        return found if of_key is None else (*found, *self._one(quota, key, Scope.KEY, of_key))

    def _one(self, quota: TenantQuota, key: str, scope: Scope, limits: Limits) -> _Buckets:
        name = (quota.tenant_id, key)
        kept = self._kept.get(name)
        if kept is not None and kept.quota is quota:
            self._kept.move_to_end(name)
            return kept.buckets
        part = quota.without_store_share * LOCAL_PART / self._replicas
        buckets = tuple(self._made(scope, limits, part))
        if kept is None:
            while len(self._kept) >= self._max_tenants:
                self._kept.popitem(last=False)
        else:
            earlier = {bucket.kind: bucket for bucket in kept.buckets}
            for bucket in buckets:
                bucket.go_on_from(earlier.get(bucket.kind))
        self._kept[name] = _Kept(quota, buckets)
        self._kept.move_to_end(name)
        return buckets

    def _made(self, scope: Scope, limits: Limits, part: float) -> Iterator[LocalBucket]:
        now_s = self._clock()
        for unit, limit in ((Unit.REQUESTS, limits.requests), (Unit.TOKENS, limits.tokens)):
            if limit is not None:
                yield LocalBucket(scope, Period.RATE, unit, _part_of(limit, part, unit), now_s)
        for count in limits.counts:
            if count.unit in MIN_BURST:
                whole = BucketLimit(count.limit / PERIOD_S[count.period], float(count.limit))
                yield LocalBucket(scope, count.period, count.unit, _part_of(whole, part, count.unit), now_s)


def _part_of(limit: BucketLimit, part: float, unit: Unit) -> BucketLimit:
    """Return the local part of a limit; without a part nothing, for which a contract's BucketLimit has no word."""
    if part <= 0:
        return BucketLimit(0.0, 0.0)
    return BucketLimit(limit.rate_per_s * part, max(min(limit.burst, MIN_BURST[unit]), limit.burst * part))


def _of(charge: Charge, unit: Unit) -> int:
    return charge.requests if unit is Unit.REQUESTS else charge.tokens


def _later(one: Refusal | None, other: Refusal) -> Refusal:
    """Return the refusal that lasts longer."""
    if one is None or one.retry_delay_s is None:
        return one or other
    if other.retry_delay_s is None:
        return other
    return max(one, other, key=lambda refusal: refusal.retry_delay_s or math.inf)
