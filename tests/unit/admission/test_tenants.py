"""Quotas by the map and the settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from trunkline_admission.settings import DEFAULT_TIERS
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.source import MapHolder
from trunkline_map.testing import StaticMap, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady, StaleMap, TenantSuspended, TenantUnknown


@pytest.fixture
async def source() -> StaticMap:
    own = replace(tenant("own", "eu", tier="pro"), quota_tokens_per_s=50)
    tiny = replace(tenant("tiny", "eu", tier="enterprise"), quota_tokens_per_s=1)
    return static_map(
        tenant("acme", "eu", tier="pro"), own, tiny, tenant("odd", "eu", tier="platinum"),
        tenant("gone", "eu", suspended=True),
    )  # fmt: skip


async def test_a_tenant_has_its_tiers_quota(source: StaticMap) -> None:
    """Rank, rate, burst and share are the tier's."""
    quota, tier = TenantQuotas(source, DEFAULT_TIERS).now("acme"), DEFAULT_TIERS["pro"]

    assert (quota.tier, quota.rank, quota.guaranteed_share) == ("pro", tier.rank, tier.guaranteed_share)
    assert (quota.rate_tokens_per_s, quota.burst_tokens) == (tier.tokens_per_s, tier.burst_tokens)


async def test_a_quota_of_its_own_scales_the_burst(source: StaticMap) -> None:
    """A tenth of the tier's rate comes with a tenth of its burst, and at least one token."""
    quotas, tier = TenantQuotas(source, DEFAULT_TIERS), DEFAULT_TIERS["pro"]

    assert quotas.now("own").rate_tokens_per_s == 50
    assert quotas.now("own").burst_tokens == tier.burst_tokens * 50 / tier.tokens_per_s
    assert quotas.now("tiny").burst_tokens >= 1


async def test_an_unknown_tier_counts_as_the_lowest(source: StaticMap) -> None:
    """A tier that the settings do not have yet shuts nobody out."""
    quota = TenantQuotas(source, DEFAULT_TIERS).now("odd")

    assert (quota.tier, quota.rank) == ("free", DEFAULT_TIERS["free"].rank)


async def test_unknown_and_suspended_tenants_are_refused(source: StaticMap) -> None:
    """Each with its own reason."""
    quotas = TenantQuotas(source, DEFAULT_TIERS)

    with pytest.raises(TenantUnknown):
        await quotas.at("nobody", b"", Deadline.after(1))
    with pytest.raises(TenantSuspended):
        await quotas.at("gone", b"", Deadline.after(1))


async def test_a_map_token_is_honoured(source: StaticMap) -> None:
    """A quota is never read from a map older than the token."""
    quotas = TenantQuotas(source, DEFAULT_TIERS)
    later = source.put(tenant("new", "eu"))

    assert (await quotas.at("new", later, Deadline.after(1))).tenant_id == "new"

    ahead = static_map(revision=source.snapshot.revision + 5).snapshot.token
    with pytest.raises(StaleMap):
        await quotas.at("acme", ahead, Deadline.after(0.01))


async def test_before_the_map_is_loaded_nothing_is_known() -> None:
    """No map is not the same as no tenant."""
    with pytest.raises(MapNotReady):
        TenantQuotas(_NoMap(), DEFAULT_TIERS).now("acme")


class _NoMap(MapHolder):
    """A map that was never loaded."""

    def age_s(self) -> float:
        return float("inf")
