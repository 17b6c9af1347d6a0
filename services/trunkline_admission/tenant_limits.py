"""A tenant's limits, from its entry in the map and its tier."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from trunkline_admission.quota import BucketLimit, CountLimit, Limits, Period, TenantQuota, Unit
from trunkline_map.entries import NO_LIMITS, LimitOverride, TenantEntry, TenantLimits
from trunkline_tiers import TenantShare, Tier

FOR_EVER: Final = float("inf")
"""End of what holds until the map changes."""


def quota_of(entry: TenantEntry, tier_name: str, tier: Tier, soft_part: float, now_s: float) -> TenantQuota:
    """Return all that limits a tenant at the Unix time `now_s`.

    The tenant's own limits replace its tier's, and those of an override that is in force replace both; what they leave
    at 0 stays. Limits that contradict each other all hold: the tightest refuses first.
    """
    override = override_in_force(entry, now_s)
    merged = entry.limits if override is None else _over(entry.limits, override.limits)
    rate_is_overridden = override is not None and override.limits.requests_per_minute > 0
    own_tokens_per_s = 0 if rate_is_overridden else entry.quota_tokens_per_s
    soft = merged.soft_percent / 100 or soft_part
    return TenantQuota(
        tenant_id=entry.tenant_id,
        tier=tier_name,
        rank=tier.rank,
        limits=Limits(
            requests=_bucket(_per_s(merged, tier.tenant), tier.tenant),
            tokens=_tokens(_per_s(merged, tier.tenant), own_tokens_per_s, tier.tenant),
            counts=_counts(
                merged,
                soft,
                requests_per_day=tier.tenant.requests_per_day,
                requests_per_month=tier.tenant.requests_per_month,
            ),
            overridden=override is not None,
        ),
        without_store_share=tier.without_store_share,
        borrows_above_day=tier.tenant.borrows_above_day,
        shadow=_shadow(entry.shadow_limits, soft_part, tier.tenant),
        keys=_keys(entry, soft_part, tier.tenant),
        time_zone=entry.time_zone or "UTC",
        budget_micros_per_month=merged.budget_micros_per_month,
    )


def override_in_force(entry: TenantEntry, now_s: float) -> LimitOverride | None:
    """Return the last of the overrides that have not ended, or None."""
    return next((one for one in reversed(entry.overrides) if now_s < one.ends_at_s), None)


def next_end_s(entry: TenantEntry, now_s: float) -> float:
    """Return when the limits change by themselves: the next end of an override, or FOR_EVER."""
    return min((one.ends_at_s for one in entry.overrides if now_s < one.ends_at_s), default=FOR_EVER)


def _over(own: TenantLimits, override: TenantLimits) -> TenantLimits:
    return TenantLimits(
        requests_per_minute=override.requests_per_minute or own.requests_per_minute,
        requests_per_day=override.requests_per_day or own.requests_per_day,
        requests_per_month=override.requests_per_month or own.requests_per_month,
        tokens_per_day=override.tokens_per_day or own.tokens_per_day,
        tokens_per_month=override.tokens_per_month or own.tokens_per_month,
        budget_micros_per_month=override.budget_micros_per_month or own.budget_micros_per_month,
        soft_percent=override.soft_percent or own.soft_percent,
    )


def _per_s(limits: TenantLimits, share: TenantShare) -> float:
    return limits.requests_per_minute / 60 or share.requests_per_s


def _bucket(rate_per_s: float, share: TenantShare, least_burst: float = 1.0) -> BucketLimit:
    """Return a bucket whose burst lets `burst_factor` times the rate through for `burst_s`."""
    return BucketLimit(rate_per_s, max(least_burst, (share.burst_factor - 1) * rate_per_s * share.burst_s))


def _tokens(requests_per_s: float, own_tokens_per_s: int, share: TenantShare) -> BucketLimit:
    """Return the tokens' bucket: for each request of the rate what the tier allows it, and room for one at least."""
    rate = float(own_tokens_per_s) or requests_per_s * share.tokens_per_request
    return _bucket(rate, share, least_burst=max(1.0, share.tokens_per_request))


def _counts(
    limits: TenantLimits, soft_part: float, *, requests_per_day: int, requests_per_month: int
) -> tuple[CountLimit, ...]:
    found = (
        (Period.DAY, Unit.REQUESTS, limits.requests_per_day or requests_per_day),
        (Period.DAY, Unit.TOKENS, limits.tokens_per_day),
        (Period.MONTH, Unit.REQUESTS, limits.requests_per_month or requests_per_month),
        (Period.MONTH, Unit.TOKENS, limits.tokens_per_month),
    )
    return tuple(CountLimit(period, unit, limit, soft_part) for period, unit, limit in found if limit > 0)


def _shadow(limits: TenantLimits | None, soft_part: float, share: TenantShare) -> Limits | None:
    """Return the limits on trial: only those that are set."""
    if limits is None or limits == NO_LIMITS:
        return None
    bucket = _bucket(limits.requests_per_minute / 60, share) if limits.requests_per_minute else None
    soft = limits.soft_percent / 100 or soft_part
    return Limits(bucket, None, _counts(limits, soft, requests_per_day=0, requests_per_month=0))


def _keys(entry: TenantEntry, soft_part: float, share: TenantShare) -> Mapping[str, Limits]:
    found: dict[str, Limits] = {}
    for key in entry.key_limits:
        bucket = _bucket(key.requests_per_minute / 60, share) if key.requests_per_minute else None
        day = TenantLimits(requests_per_day=key.requests_per_day)
        found[key.subject] = Limits(bucket, None, _counts(day, soft_part, requests_per_day=0, requests_per_month=0))
    return MappingProxyType(found)
