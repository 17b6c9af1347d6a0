"""A part of a tier's tenants, each within its own limits, takes nothing from the others that they are promised."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.contract.quota_subject import NOON_S, pool_tiers, searches
from tests.sim.lua_store import LuaStore

from trunkline_admission.even_parts import MAX_USED_UP, RECOUNT_S, USED_UP_S, EvenParts, TierSizes
from trunkline_admission.quota import Limits, TenantQuota
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.tenants import TenantQuotas
from trunkline_lease import NOTHING, Charge
from trunkline_map.home_region import home_region
from trunkline_map.testing import region, static_map, tenant
from trunkline_tiers import TierFile, default_tiers

LOUD, QUIET = 110, 440
SEARCH = Charge(1, 5)


class Region:
    """The free tenants that the default pool is sized for, and the very authority in virtual time."""

    def __init__(self, tiers: TierFile) -> None:
        self.now_s = float(NOON_S)
        self.names = [f"free-{index}" for index in range(LOUD + QUIET)]
        source = static_map(*(tenant(name, "eu", tier="free") for name in self.names))
        self.tenants = TenantQuotas(source, tiers, self.clock)
        self.store = LuaStore(self.clock)
        self.quotas = RedisQuota(
            self.store,
            tiers,
            key_prefix="t",
            clock=self.clock,
            wall_clock=self.clock,
            tenants_of=TierSizes(source, tiers, "eu-west", self.clock).of,
        )

    def clock(self) -> float:
        return self.now_s

    async def asks(self, name: str, charge: Charge = SEARCH) -> int:
        """Ask once; return the requests that were granted."""
        return (await self.quotas.take(self.tenants.now(name), charge)).granted.requests

    async def minority_uses_its_days(self) -> int:
        """Let 110 tenants use up their own 100 requests within four minutes; return what they got."""
        got = 0
        for _ in range(8):
            for name in self.names[:LOUD]:
                got += await self.asks(name, Charge(40, 200))
            self.now_s += 30.0
        return got


@pytest.mark.parametrize("pool_burst_s", [86_400.0, 14_400.0])
async def test_a_minority_that_uses_its_own_days_leaves_the_others_theirs(pool_burst_s: float) -> None:
    """110 of 550 use up their day in four minutes; the other 440 ask once a minute and get all of it, also where the
    pool holds less than the 110 have taken."""
    region = Region(default_tiers().model_copy(update={"pool_burst_s": pool_burst_s}))
    assert await region.minority_uses_its_days() == LOUD * 100

    refused = 0
    for _ in range(10):
        for name in region.names[LOUD:]:
            refused += 1 - await region.asks(name)
        region.now_s += 60.0
    assert refused == 0
    assert await region.asks(region.names[0]) == 0
    await region.quotas.aclose()


async def test_a_flood_of_those_who_had_their_part_costs_the_store_nothing() -> None:
    """Once the pool is dry and they had their part of it, they are refused from memory for a while."""
    region = Region(pool_tiers({"free": {"per_s": 0.01}}, burst_s=10_000))  # 864 a day for 550: one each
    while any([await region.asks(name, Charge(10, 50)) for name in region.names[:10]]):
        pass
    region.now_s += 0.01
    before = region.store.calls

    for _ in range(100):
        assert await region.asks(region.names[0]) == 0

    assert region.store.calls == before
    assert await region.asks(region.names[-1]) == 1
    await region.quotas.aclose()


def test_tenants_are_counted_by_tier_now_and_then() -> None:
    """Those of a tier that nobody knows are of the lowest."""
    now_s = [0.0]
    source = static_map(tenant("a", "eu", tier="free"), tenant("b", "eu", tier="pro"), tenant("c", "eu", tier="odd"))
    sizes = TierSizes(source, default_tiers(), "nowhere", lambda: now_s[0])
    assert [sizes.of(tier) for tier in ("free", "pro", "enterprise", "odd")] == [2, 1, 0, 0]
    source.put(tenant("d", "eu", tier="pro"))
    assert sizes.of("pro") == 1
    now_s[0] += RECOUNT_S
    assert sizes.of("pro") == 2


def test_tenants_that_other_regions_keep_are_not_counted() -> None:
    """Each region of two that may keep them counts half of them, and what chance may add; one alone all of them."""
    regions = [region(name, jurisdiction, admission=f"{name}:1") for name, jurisdiction in (("us", "us"), ("eu", "eu"))]
    tenants = [tenant(f"t{number}", "us", "eu", tier="free") for number in range(400)]
    source = static_map(*regions, *tenants, tenant("only", "eu", tier="free"))
    sizes = {name: TierSizes(source, default_tiers(), name).of("free") for name in ("us", "eu")}
    homes = Counter(home_region(source.snapshot, each) for each in source.snapshot.tenants())
    assert sizes == {"us": 230, "eu": 231}
    assert all(homes[name] <= size for name, size in sizes.items())


def test_who_had_its_part_is_asked_about_again_and_memory_is_bounded() -> None:
    """After a minute: what it gave back counts, and a day ends."""
    now_s, tiers = [0.0], default_tiers()
    parts = EvenParts(lambda tier: {"free": 550}.get(tier, 0), tiers, lambda: now_s[0])
    assert (parts.of("a", "free"), parts.of("a", "pro")) == (100, 0)
    parts.used_up("a")
    assert parts.of("a", "free") == 0
    now_s[0] += USED_UP_S
    assert parts.of("a", "free") == 100
    for index in range(MAX_USED_UP + 1):
        parts.used_up(f"t{index}")
    assert (parts.of("t0", "free"), parts.of("t1", "free")) == (100, 0)


ACTS = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 60), st.integers(0, 20), st.sampled_from([0.0, 0.3, 30.0, 900.0])),
    max_size=60,
)


@settings(max_examples=60)
@given(ACTS)
def test_a_pool_grants_beyond_its_bucket_at_most_its_tenants_even_parts(
    acts: list[tuple[int, int, int, float]],
) -> None:
    """In any order of wishes and returns: no more than burst, refill and one pool's day; and none is locked out."""
    tiers = pool_tiers({"free": {"per_s": 0.01}}, burst_s=5_000)
    day, now_s = tiers.tiers["free"].pool.requests_per_day, [float(NOON_S)]
    tenants = [TenantQuota(f"t{index}", "free", 0, Limits(None, None), 0.5) for index in range(5)]

    def clock() -> float:
        return now_s[0]

    async def run() -> None:
        quotas = RedisQuota(
            LuaStore(clock), tiers, key_prefix="t", clock=clock, wall_clock=clock, tenants_of=lambda _tier: 5
        )
        used = [0] * 5
        for index, wanted, returned, pause_s in acts:
            back = min(returned, used[index])
            grant = await quotas.take(tenants[index], searches(wanted), searches(back) if back else NOTHING)
            used[index] += grant.granted.requests - back
            assert grant.granted.requests or not wanted or used[index] + back >= day // 5
            assert sum(used) <= 50 + 0.01 * (clock() - NOON_S) + day
            now_s[0] += pause_s
        await quotas.aclose()

    asyncio.run(run())
