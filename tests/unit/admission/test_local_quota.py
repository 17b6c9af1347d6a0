"""The local share: how large it is, in both currencies, and that its memory is bounded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import (
    BucketLimit,
    CountLimit,
    Limits,
    Period,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_lease.charge import NOTHING, Charge

LIMITS = Limits(BucketLimit(100.0, 1000.0), BucketLimit(1000.0, 10_000.0))


def local(*, replicas: int = 1, clock: Callable[[], float] = lambda: 0.0, max_tenants: int = 100) -> LocalQuota:
    return LocalQuota(replicas=replicas, max_tenants=max_tenants, clock=clock)


def quota_of(share: float, limits: Limits = LIMITS, name: str = "acme") -> TenantQuota:
    return TenantQuota(name, "pro", 1, limits, share)


@pytest.mark.parametrize(
    ("share", "replicas", "rate", "burst"),
    [(1.0, 1, 50.0, 500), (0.8, 1, 40.0, 400), (0.8, 4, 10.0, 100), (0.2, 2, 5.0, 50), (0.0001, 10, 0.0005, 1)],
)
async def test_a_replica_grants_half_of_the_share_over_the_replicas(
    share: float, replicas: int, rate: float, burst: int
) -> None:
    """Share x 0.5 / replicas of the rate, with room for one search where there is a share at all."""
    now_s = [0.0]
    quotas, quota = local(replicas=replicas, clock=lambda: now_s[0]), quota_of(share)

    first = await quotas.take(quota, Charge(10_000, 0))
    now_s[0] = 20.0
    second = await quotas.take(quota, Charge(10_000, 0))

    assert (first.granted.requests, first.source) == (burst, QuotaSource.LOCAL)
    assert second.granted.requests == min(burst, int(rate * 20))


async def test_all_replicas_together_grant_at_most_half_of_the_share() -> None:
    """However tenants spread over replicas, the sum of rates is half of the share."""
    quota, now_s = quota_of(0.6, Limits(BucketLimit(1000.0, 10_000.0), None)), [0.0]
    replicas = [local(replicas=5, clock=lambda: now_s[0]) for _ in range(5)]
    for quotas in replicas:
        await quotas.take(quota, Charge(10_000, 0))
    now_s[0] = 1.0

    assert sum([(await quotas.take(quota, Charge(10_000, 0))).granted.requests for quotas in replicas]) == 300


@pytest.mark.parametrize(("period", "days"), [(Period.DAY, 1), (Period.MONTH, 30)])
async def test_a_days_number_holds_pro_rata(period: Period, days: int) -> None:
    """Of 1,000 a period 100 are granted at once, and as many again over the period: an outage is worth little."""
    limits, now_s = Limits(None, None, (CountLimit(period, Unit.REQUESTS, 1000, 0.8),)), [0.0]
    quotas, quota = local(clock=lambda: now_s[0]), quota_of(0.2, limits)

    first = await quotas.take(quota, Charge(500, 5))
    now_s[0] = days * 43_200.0
    half = await quotas.take(quota, Charge(500, 5))

    assert (first.granted.requests, half.granted.requests) == (100, 50)
    refused = await quotas.take(quota, Charge(1, 1))
    assert refused.refusal is not None
    assert (refused.refusal.scope, refused.refusal.period) == (Scope.TENANT, period)


async def test_a_tier_without_a_share_gets_nothing_and_no_time_to_come_back() -> None:
    """A share of zero is honoured: no minimum burst is added to it."""
    grant = await local().take(quota_of(0.0), Charge(1, 1))

    assert grant.granted == NOTHING
    assert grant.refusal is not None
    assert grant.refusal.retry_delay_s is None


async def test_requests_without_tokens_are_no_grant_and_the_delay_is_exact() -> None:
    """Where tokens lack, requests stay; after the told delay both are there."""
    now_s = [0.0]
    quotas, quota = local(clock=lambda: now_s[0]), quota_of(1.0, Limits(BucketLimit(9, 99), BucketLimit(1.0, 20.0)))
    assert (await quotas.take(quota, Charge(1, 50))).granted == Charge(1, 10)

    refused = await quotas.take(quota, Charge(1, 4))
    assert refused.granted == NOTHING
    assert refused.refusal is not None
    assert refused.refusal.unit is Unit.TOKENS
    now_s[0] = refused.refusal.retry_delay_s or 0

    assert (await quotas.take(quota, Charge(1, 4))).granted == Charge(1, 4)


async def test_returns_fill_to_the_burst_and_advances_make_a_debt_of_a_burst_at_most() -> None:
    """As in the store."""
    now_s = [0.0]
    quotas, quota = local(clock=lambda: now_s[0]), quota_of(1.0, Limits(BucketLimit(2.0, 20.0), None))

    assert (await quotas.take(quota, Charge(9, 0), Charge(500, 0))).granted.requests == 9
    assert (await quotas.take(quota, NOTHING, advanced=Charge(10**9, 0))).granted == NOTHING
    now_s[0] = 12.0
    assert (await quotas.take(quota, Charge(9, 0))).granted.requests == 2


async def test_a_key_has_a_share_of_its_own_limit() -> None:
    """The key's refusal names the key; its tenant goes on."""
    quota = replace(quota_of(1.0), keys={"a": Limits(BucketLimit(0.1, 4.0), None)})
    quotas = local()

    assert (await quotas.take(quota, Charge(9, 9), key="a")).granted.requests == 2
    refused = await quotas.take(quota, Charge(9, 9), key="a")

    assert refused.refusal is not None
    assert refused.refusal.scope is Scope.KEY
    assert (await quotas.take(quota, Charge(9, 9))).granted == Charge(9, 9)


async def test_a_changed_quota_goes_on_with_what_is_left() -> None:
    """A new entry in the map neither refills the bucket nor leaves more in it than it holds."""
    quotas = local()
    await quotas.take(quota_of(1.0), Charge(400, 0))

    assert (await quotas.take(quota_of(1.0), Charge(900, 0))).granted.requests == 100
    assert (await quotas.take(quota_of(0.2, name="b"), NOTHING)).granted == NOTHING
    smaller = quota_of(1.0, Limits(BucketLimit(1.0, 10.0), None), name="b")
    assert (await quotas.take(smaller, Charge(900, 0))).granted.requests == 5


@pytest.mark.parametrize("jump_s", [-3600.0, -1e9])
async def test_a_clock_that_steps_back_locks_nobody_out(jump_s: float) -> None:
    """Requests flow at once at the usual rate."""
    now_s = [0.0]
    quotas, quota = local(clock=lambda: now_s[0]), quota_of(1.0)
    await quotas.take(quota, Charge(9000, 0))

    now_s[0] += jump_s
    assert (await quotas.take(quota, Charge(9000, 0))).granted == NOTHING
    now_s[0] += 1.0

    assert (await quotas.take(quota, Charge(9000, 0))).granted.requests == 50


async def test_tenants_are_bounded_and_the_least_recently_used_one_goes() -> None:
    """However many names there are, so many are kept; one too many pushes out the one that was not used lately."""
    quotas = local(max_tenants=2)
    quota = {name: quota_of(1.0, Limits(BucketLimit(0.001, 100.0), None), name) for name in "abc"}
    for name in "abac":
        await quotas.take(quota[name], Charge(50, 0))

    assert (await quotas.take(quota["a"], Charge(50, 0))).granted == NOTHING
    assert (await quotas.take(quota["b"], Charge(50, 0))).granted.requests == 50
    for number in range(1000):
        await quotas.take(quota_of(1.0, name=f"t{number}"), Charge(1, 1))
    assert len(quotas._kept) == 2


async def test_states_tell_the_share() -> None:
    """Each limit with its local part, and that it is local."""
    quotas = local()
    quota = quota_of(0.5, Limits(BucketLimit(10.0, 100.0), None, (CountLimit(Period.DAY, Unit.REQUESTS, 400, 0.8),)))
    await quotas.take(quota, Charge(5, 5))

    states = await quotas.states(quota)

    assert [(s.period, s.limit, s.used, s.burst, s.source) for s in states] == [
        (Period.RATE, 150, 5, 25, QuotaSource.LOCAL),
        (Period.DAY, 100, 5, 0, QuotaSource.LOCAL),
    ]


async def test_what_exceeds_the_local_share_is_told_that_it_never_fits() -> None:
    """With the most that the share ever holds; what fits is told when it is there."""
    quotas, quota = local(), quota_of(0.2)
    assert (await quotas.take(quota, Charge(100, 1000))).granted == Charge(100, 1000)

    fits = (await quotas.take(quota, Charge(0, 1000))).refusal
    above = (await quotas.take(quota, Charge(0, 1001))).refusal

    assert fits is not None
    assert fits.retry_delay_s == pytest.approx(10.0, abs=1e-3)
    assert above == Refusal(Scope.TENANT, Period.RATE, Unit.TOKENS, None, 1000)
