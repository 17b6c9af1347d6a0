"""What a tenant keeps in this router while admission is away: a part of its limits, by the map and the tier file.

As admission's own share without Redis: `without_store_share` x 0.5 / routers of each rate and of each day's number. Of
the latter as a bucket that holds its part and refills over a day, so an outage of t adds at most part x (1 + t / 24 h).
"""

from __future__ import annotations

import time
from typing import Final

from trunkline_lease import SafeLimits, SafeRate
from trunkline_map.entries import NO_LIMITS, KeyLimit, TenantEntry, TenantLimits
from trunkline_map.source import MapSource
from trunkline_mesh.clock import Clock
from trunkline_tiers import TenantShare, TierFile

LOCAL_PART: Final = 0.5
"""Of what a tier keeps: routers do not know of each other, and admission may have granted the same just before."""
MIN_REQUESTS: Final = 1.0
MIN_TOKENS: Final = 10.0
"""Where there is a share at all, an ordinary search fits into its burst."""
DAY_S: Final = 86_400.0


class SafeBook:
    """Gives each tenant, and each of its limited credentials, its safe share; a `trunkline_lease.SafeOf`."""

    def __init__(self, source: MapSource, tiers: TierFile, *, routers: int, wall_clock: Clock = time.time) -> None:
        """Read tenants from `source`; `routers` of them share a region. `wall_clock` gives Unix time."""
        self._source: Final = source
        self._tiers: Final = tiers
        self._routers: Final = routers
        self._wall_clock: Final = wall_clock

    def of(self, tenant_id: str, key: str) -> SafeLimits:
        """Return the share; none for a tenant that the map does not have, or that is suspended.

        A credential with limits of its own has a share of its own: of its tenant's limits, and of its own.
        """
        entry = self._source.snapshot.tenant(tenant_id) if self._source.ready() else None
        if entry is None or entry.suspended:
            return SafeLimits()
        _, tier = self._tiers.named(entry.tier)
        part = tier.without_store_share * LOCAL_PART / self._routers
        if part <= 0:
            return SafeLimits(rank=tier.rank)
        limits = _limits_of(entry, self._wall_clock())
        share = tier.tenant
        per_s = limits.requests_per_minute / 60 or share.requests_per_s
        tokens_per_s = float(entry.quota_tokens_per_s) or per_s * share.tokens_per_request
        requests = [
            _rate(per_s, share, part, MIN_REQUESTS),
            _day(limits.requests_per_day or share.requests_per_day, part, MIN_REQUESTS),
            *_of_key(entry, key, share, part),
        ]
        tokens = [_rate(tokens_per_s, share, part, MIN_TOKENS)]
        if limits.tokens_per_day:
            tokens.append(_day(limits.tokens_per_day, part, MIN_TOKENS))
        return SafeLimits(tuple(requests), tuple(tokens), tier.rank)


def _limits_of(entry: TenantEntry, now_s: float) -> TenantLimits:
    """Return the tenant's own limits, those of an override in force before them; 0 leaves one to the tier."""
    own = entry.limits
    override = next((one.limits for one in reversed(entry.overrides) if now_s < one.ends_at_s), NO_LIMITS)
    return TenantLimits(
        requests_per_minute=override.requests_per_minute or own.requests_per_minute,
        requests_per_day=override.requests_per_day or own.requests_per_day,
        tokens_per_day=override.tokens_per_day or own.tokens_per_day,
    )


def _of_key(entry: TenantEntry, key: str, share: TenantShare, part: float) -> list[SafeRate]:
    limit = next((one for one in entry.key_limits if one.subject == key), KeyLimit(key)) if key else KeyLimit(key)
    found = []
    if limit.requests_per_minute:
        found.append(_rate(limit.requests_per_minute / 60, share, part, MIN_REQUESTS))
    if limit.requests_per_day:
        found.append(_day(limit.requests_per_day, part, MIN_REQUESTS))
    return found


def _rate(per_s: float, share: TenantShare, part: float, least: float) -> SafeRate:
    """Return the part of a rate, and of the burst that the tier allows it."""
    burst = (share.burst_factor - 1) * per_s * share.burst_s
    return SafeRate(per_s * part, max(least, burst * part))


def _day(number: int, part: float, least: float) -> SafeRate:
    return SafeRate(number * part / DAY_S, max(min(least, number), number * part))
