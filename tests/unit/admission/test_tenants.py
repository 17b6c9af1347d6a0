"""Quotas by the map and the tier file."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trunkline_admission import tenants
from trunkline_admission.quota import BucketLimit, CountLimit, Limits, Period, Unit
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.entries import KeyLimit, LimitOverride, TenantEntry, TenantLimits
from trunkline_map.source import MapHolder
from trunkline_map.testing import StaticMap, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, StaleMap, TenantSuspended, TenantUnknown
from trunkline_tiers import default_tiers

TIERS = default_tiers()
PRO = TIERS.tiers["pro"]
PRO_DAY = CountLimit(Period.DAY, Unit.REQUESTS, PRO.tenant.requests_per_day, 0.8)


class Given:
    """A map with one tenant, and a wall clock."""

    def __init__(self, **fields: Any) -> None:
        self.now_s = 1000.0
        self.entry: TenantEntry = replace(tenant("acme", "eu"), **fields)
        self.source: StaticMap = static_map(self.entry)
        self.quotas = TenantQuotas(self.source, TIERS, lambda: self.now_s)

    @property
    def limits(self) -> Limits:
        return self.quotas.now("acme").limits


async def test_a_tenant_has_its_tiers_limits() -> None:
    """Rank, share, rates, bursts and the day are the tier's; tokens follow from requests."""
    quota = Given().quotas.now("acme")

    share, per_s = PRO.tenant, 200 / 60
    assert (quota.tier, quota.rank, quota.without_store_share) == ("pro", PRO.rank, PRO.without_store_share)
    assert quota.limits.requests == BucketLimit(per_s, (share.burst_factor - 1) * per_s * share.burst_s)
    assert quota.limits.tokens == BucketLimit(per_s * 50, (share.burst_factor - 1) * (per_s * 50) * share.burst_s)
    assert quota.limits.counts == (PRO_DAY,)
    assert (quota.time_zone, quota.budget_micros_per_month, quota.shadow, dict(quota.keys)) == ("UTC", 0, None, {})
    assert not quota.borrows_above_day


async def test_limits_of_its_own_replace_the_tiers() -> None:
    """What is set counts, what is 0 stays the tier's."""
    own = TenantLimits(requests_per_minute=60, tokens_per_month=7, budget_micros_per_month=9, soft_percent=50)
    given = Given(limits=own, time_zone="Asia/Tokyo")
    quota = given.quotas.now("acme")

    assert quota.limits.requests == BucketLimit(1.0, 120.0)
    assert quota.limits.tokens == BucketLimit(50.0, 6000.0)
    assert quota.limits.counts == (
        replace(PRO_DAY, soft_part=0.5),
        CountLimit(Period.MONTH, Unit.TOKENS, 7, 0.5),
    )
    assert (quota.time_zone, quota.budget_micros_per_month) == ("Asia/Tokyo", 9)


async def test_a_token_rate_of_its_own_scales_the_tokens_burst_alone() -> None:
    """The older field still sets the rate of tokens; a burst lets at least one ordinary request through."""
    given = Given(quota_tokens_per_s=10)

    assert given.limits.tokens == BucketLimit(10.0, 1200.0)
    assert given.limits.requests == BucketLimit(200 / 60, PRO.tenant.burst_requests)
    tiny = Given(limits=TenantLimits(requests_per_minute=1), tier="free")
    assert tiny.limits.requests == BucketLimit(1 / 60, 2.0)


async def test_an_override_holds_until_its_end() -> None:
    """The last one that has not ended counts; then the one before, then the tenant's own."""
    overrides = (
        LimitOverride(TenantLimits(requests_per_day=500), ends_at_s=2000.0),
        LimitOverride(TenantLimits(requests_per_day=900, requests_per_minute=600), ends_at_s=1500.0),
    )
    given = Given(limits=TenantLimits(requests_per_day=100), overrides=overrides, quota_tokens_per_s=3)
    seen = []
    for given.now_s in (1000.0, 1499.0, 1500.0, 1999.0, 2000.0, 1400.0):
        tokens = given.limits.tokens
        seen.append((given.limits.counts[0].limit, given.limits.overridden, tokens and tokens.rate_per_s))

    assert seen == [
        (900, True, 500.0),
        (900, True, 500.0),
        (500, True, 3.0),
        (500, True, 3.0),
        (100, False, 3.0),
        (900, True, 500.0),
    ]


async def test_limits_on_trial_and_of_keys_are_only_what_is_set() -> None:
    """Nothing of the tier's is on trial; a key has a rate, a day, or both."""
    keys = (KeyLimit("a", requests_per_minute=60), KeyLimit("b", requests_per_day=5))
    quota = Given(shadow_limits=TenantLimits(requests_per_day=9), key_limits=keys).quotas.now("acme")

    assert quota.shadow == Limits(None, None, (CountLimit(Period.DAY, Unit.REQUESTS, 9, 0.8),))
    assert quota.keys == {
        "a": Limits(BucketLimit(1.0, 120.0), None),
        "b": Limits(None, None, (CountLimit(Period.DAY, Unit.REQUESTS, 5, 0.8),)),
    }
    assert Given(shadow_limits=TenantLimits()).quotas.now("acme").shadow is None


async def test_a_tier_that_is_in_no_file_counts_as_the_lowest() -> None:
    """A new name in the map must not shut its tenants out; enterprise alone borrows above its day."""
    assert Given(tier="platinum").quotas.now("acme").tier == "free"
    assert Given(tier="enterprise").quotas.now("acme").borrows_above_day


async def test_a_quota_is_made_anew_only_when_something_changes() -> None:
    """The same entry gives the same object; another one another."""
    given = Given()
    first = given.quotas.now("acme")
    assert given.quotas.now("acme") is first

    given.source.put(replace(given.entry, limits=TenantLimits(requests_per_day=5)))

    assert given.limits.counts[0].limit == 5


async def test_who_may_not_spend_is_refused_and_still_told_of() -> None:
    """Suspended and unknown tenants have no quota; operators still see a suspended one's."""
    given = Given(suspended=True)
    with pytest.raises(TenantSuspended):
        given.quotas.now("acme")
    with pytest.raises(TenantUnknown):
        given.quotas.now("nobody")

    assert given.quotas.told("acme")[1].tier == "pro"


async def test_unknown_tenants_take_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are asked for; and known ones are bounded, too."""
    monkeypatch.setattr(tenants, "MAX_KEPT", 3)
    source = static_map(*(tenant(f"t{number}", "eu") for number in range(10)))
    quotas = TenantQuotas(source, TIERS)
    for number in range(1000):
        with pytest.raises(TenantUnknown):
            quotas.now(f"nobody-{number}")
    assert len(quotas._kept) == 0
    for number in range(10):
        quotas.now(f"t{number}")

    assert len(quotas._kept) == 3


async def test_a_map_token_is_waited_for() -> None:
    """A change is seen by who brings its token; one that does not come is told shortly before the deadline."""
    given = Given()
    token = given.source.put(replace(given.entry, tier="free"))

    assert (await given.quotas.at("acme", token, Deadline.after(1.0))).tier == "free"
    later = static_map(revision=99).snapshot.token
    with pytest.raises(StaleMap):
        await given.quotas.at("acme", later, Deadline.after(0.05))


async def test_without_a_map_nobody_is_known() -> None:
    """Before the first load the refusal says so."""
    with pytest.raises(MapNotReady):
        TenantQuotas(MapHolderThatIsFed(), TIERS).now("acme")


class MapHolderThatIsFed(MapHolder):
    """A map before its first load."""

    def age_s(self) -> float:
        return float("inf")
