"""What the tenant script answered, in the terms of the port: grants, refusals, warnings, states."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_admission.fitting import most_of
from trunkline_admission.periods import Window
from trunkline_admission.quota import (
    CountLimit,
    Grant,
    Limits,
    LimitState,
    LimitWarning,
    Period,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_admission.tenant_script import KEY_LIMITS, KINDS, NEVER, TenantAnswer


def grant_of(quota: TenantQuota, key_limits: Limits | None, window: Window, answer: TenantAnswer) -> Grant:
    """Return the answer as a grant, with what it warns of."""
    warnings = [*_nearly_used(Scope.TENANT, quota.limits, window, answer.tenant)]
    if key_limits is not None:
        warnings += _nearly_used(Scope.KEY, key_limits, window, answer.key)
    if answer.would_refuse and quota.shadow is not None:
        warnings += _on_trial(quota.shadow, window, answer)
    return Grant(
        granted=answer.granted,
        source=QuotaSource.AUTHORITY,
        refusal=_refusal(quota.limits, key_limits, answer),
        warnings=tuple(warnings),
        borrowed=_above_day(quota.limits, answer),
    )


def states_of(quota: TenantQuota, key_limits: Limits | None, window: Window, answer: TenantAnswer) -> list[LimitState]:
    """Return every limit with its state: the tenant's, those on trial, the key's."""
    states = list(_states(Scope.TENANT, quota.limits, window, answer.tenant))
    if quota.shadow is not None:
        on_trial = (*answer.tenant[:4], *answer.trial)
        states += _states(Scope.TENANT, quota.shadow, window, on_trial, shadow=True)
    if key_limits is not None:
        states += _states(Scope.KEY, key_limits, window, answer.key)
    return states


def end_s(window: Window, period: Period) -> float:
    """Return when a period ends, in Unix time."""
    return window.day_end_s if period is Period.DAY else window.month_end_s


def used_of(limit: CountLimit, counts: tuple[int, ...]) -> int:
    """Return what is used of a limit, by the script's counts."""
    return counts[(0 if limit.period is Period.DAY else 2) + (0 if limit.unit is Unit.REQUESTS else 1)]


def _refusal(limits: Limits, key_limits: Limits | None, answer: TenantAnswer) -> Refusal | None:
    if not answer.refusing:
        return None
    of_key = answer.refusing > KEY_LIMITS
    period, unit = KINDS[answer.refusing % KEY_LIMITS - 1]
    refusing = key_limits if of_key else limits
    return Refusal(
        Scope.KEY if of_key else Scope.TENANT,
        period,
        unit,
        None if answer.delay_us == NEVER else answer.delay_us / 1e6,
        None if refusing is None else most_of(refusing, period, unit),
    )


def _above_day(limits: Limits, answer: TenantAnswer) -> int:
    """Return how many of the granted requests are beyond the daily number."""
    for limit in limits.counts:
        if limit.period is Period.DAY and limit.unit is Unit.REQUESTS:
            return max(0, min(answer.granted.requests, answer.tenant[0] - limit.limit))
    return 0


def _nearly_used(scope: Scope, limits: Limits, window: Window, counts: tuple[int, ...]) -> Iterator[LimitWarning]:
    for limit in limits.counts:
        used = used_of(limit, counts)
        if used >= limit.soft_part * limit.limit:
            part = min(1.0, used / limit.limit)
            yield LimitWarning(scope, limit.period, limit.unit, part, False, end_s(window, limit.period))


def _on_trial(shadow: Limits, window: Window, answer: TenantAnswer) -> Iterator[LimitWarning]:
    """Tell of the limits that would have refused: one more than they allow is the least that would be used."""
    for number, (period, unit) in enumerate(KINDS, 1):
        if not answer.would_refuse & 1 << (number - 1):
            continue
        if period is Period.RATE:
            bucket, level = (shadow.requests, answer.trial[0]) if number == 1 else (shadow.tokens, answer.trial[1])
            if bucket is not None:
                part = (bucket.burst - min(0, level) + 1) / bucket.burst
                yield LimitWarning(Scope.TENANT, period, unit, part, True, None)
            continue
        for limit in shadow.counts:
            if (limit.period, limit.unit) == (period, unit):
                part = max(limit.limit + 1, used_of(limit, answer.tenant)) / limit.limit
                yield LimitWarning(Scope.TENANT, period, unit, part, True, end_s(window, period))


def _states(
    scope: Scope, limits: Limits, window: Window, told: tuple[int, ...], *, shadow: bool = False
) -> Iterator[LimitState]:
    for unit, bucket, level in ((Unit.REQUESTS, limits.requests, told[4]), (Unit.TOKENS, limits.tokens, told[5])):
        if bucket is not None:
            burst = int(bucket.burst)
            yield LimitState(
                scope,
                Period.RATE,
                unit,
                limit=round(bucket.rate_per_s * 60),
                used=burst - level,
                burst=burst,
                shadow=shadow,
                overridden=limits.overridden,
            )
    for limit in limits.counts:
        yield LimitState(
            scope,
            limit.period,
            limit.unit,
            limit=limit.limit,
            used=used_of(limit, told),
            shadow=shadow,
            overridden=limits.overridden,
            resets_at_s=end_s(window, limit.period),
        )
