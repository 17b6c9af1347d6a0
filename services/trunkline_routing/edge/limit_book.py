"""What never fits into a tenant's limits, by the map and the tier file: refused here, without asking admission for it.

The limits are admission's (`trunkline_admission.tenant_limits`): an override's, else the tenant's own, else its tier's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Final

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import Bound
from trunkline_map.entries import NO_LIMITS, TenantEntry, TenantLimits
from trunkline_map.source import MapSource
from trunkline_mesh.clock import Clock
from trunkline_tiers import TenantShare, TierFile


class LimitBook:
    """Tells each tenant's bounds, and those of its limited credentials; a `trunkline_lease.BoundsOf`."""

    def __init__(self, source: MapSource, tiers: TierFile, *, wall_clock: Clock = time.time) -> None:
        """Read tenants from `source`. `wall_clock` gives Unix time, for the ends of overrides."""
        self._source: Final = source
        self._tiers: Final = tiers
        self._wall_clock: Final = wall_clock

    def of(self, tenant_id: str, key: str) -> Sequence[Bound]:
        """Return the bounds; none for a tenant that the map does not have. About 10 us."""
        entry = self._source.snapshot.tenant(tenant_id) if self._source.ready() else None
        if entry is None:
            return ()
        now_s = self._wall_clock()
        override = next((one.limits for one in reversed(entry.overrides) if now_s < one.ends_at_s), NO_LIMITS)
        share = self._tiers.named(entry.tier)[1].tenant
        return (*_rates(entry, override, share), *_counts(entry.limits, override, share), *_of_key(entry, key, share))


def _rates(entry: TenantEntry, override: TenantLimits, share: TenantShare) -> Iterator[Bound]:
    minute = override.requests_per_minute or entry.limits.requests_per_minute
    per_s = minute / 60 or share.requests_per_s
    own_tokens_per_s = 0 if override.requests_per_minute else entry.quota_tokens_per_s
    tokens_per_s = float(own_tokens_per_s) or per_s * share.tokens_per_request
    yield _tenant(_burst(per_s, share, 1.0), quota_pb.LIMIT_PERIOD_RATE, quota_pb.LIMIT_UNIT_REQUESTS)
    least = max(1.0, share.tokens_per_request)
    yield _tenant(_burst(tokens_per_s, share, least), quota_pb.LIMIT_PERIOD_RATE, quota_pb.LIMIT_UNIT_TOKENS)


def _counts(own: TenantLimits, override: TenantLimits, share: TenantShare) -> Iterator[Bound]:
    day, month = quota_pb.LIMIT_PERIOD_DAY, quota_pb.LIMIT_PERIOD_MONTH
    requests, tokens = quota_pb.LIMIT_UNIT_REQUESTS, quota_pb.LIMIT_UNIT_TOKENS
    if not share.borrows_above_day:
        yield _tenant(override.requests_per_day or own.requests_per_day or share.requests_per_day, day, requests)
    for most, period, unit in (
        (override.tokens_per_day or own.tokens_per_day, day, tokens),
        (override.requests_per_month or own.requests_per_month or share.requests_per_month, month, requests),
        (override.tokens_per_month or own.tokens_per_month, month, tokens),
    ):
        if most:
            yield _tenant(most, period, unit)


def _of_key(entry: TenantEntry, key: str, share: TenantShare) -> Iterator[Bound]:
    limit = next((one for one in entry.key_limits if one.subject == key), None) if key else None
    if limit is None:
        return
    scope, unit = quota_pb.LIMIT_SCOPE_KEY, quota_pb.LIMIT_UNIT_REQUESTS
    if limit.requests_per_minute:
        yield Bound(_burst(limit.requests_per_minute / 60, share, 1.0), scope, quota_pb.LIMIT_PERIOD_RATE, unit)
    if limit.requests_per_day:
        yield Bound(limit.requests_per_day, scope, quota_pb.LIMIT_PERIOD_DAY, unit)


def _tenant(most: int, period: quota_pb.LimitPeriod.ValueType, unit: quota_pb.LimitUnit.ValueType) -> Bound:
    return Bound(most, quota_pb.LIMIT_SCOPE_TENANT, period, unit)


def _burst(per_s: float, share: TenantShare, least: float) -> int:
    return math.floor(max(least, (share.burst_factor - 1) * per_s * share.burst_s))
