"""One limit over several regions: homes, advances, what holds when lines break, and who may see what."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.admission.quota_world import VALID_S, QuotaWorld, quota_world, settle
from tests.unit.lease.memory_service import eventually

from trunkline_admission.quota import Grant, QuotaSource, Scope
from trunkline_admission.remote_quota import AdvancePolicy
from trunkline_lease import NOTHING, Charge
from trunkline_map.entries import RegionState, TenantEntry, TenantLimits
from trunkline_map.home_region import home_region
from trunkline_map.testing import region, static_snapshot, tenant
from trunkline_mesh.errors import ResidencyRouterOutside, TenantUnknown

REGIONS = ("ap", "eu", "us")
LIMITED = TenantEntry(
    "acme", "pro", frozenset(REGIONS), limits=TenantLimits(requests_per_minute=6, requests_per_day=100), revision=1
)
"""6 a minute and bursts of 12, 100 a day."""
BURST, RATE = 12, 0.1


async def take(world: QuotaWorld, name: str, wanted: Charge, tenant_id: str = "acme") -> Grant:
    return await world.quotas[name].take(world.tenants.now(tenant_id), wanted)


def home_of(world: QuotaWorld, tenant_id: str = "acme") -> str:
    entry = world.source.snapshot.tenant(tenant_id)
    assert entry is not None
    home = home_region(world.source.snapshot, entry)
    assert home is not None
    return home


def away_from(home: str) -> str:
    return next(name for name in REGIONS if name != home)


@pytest.fixture
async def world() -> AsyncIterator[QuotaWorld]:
    async with quota_world(lambda: QuotaWorld(LIMITED, regions=REGIONS, advance=5)) as made:
        yield made


def test_homes_are_allowed_regions_spread_evenly_and_stable() -> None:
    """Every tenant has a home inside its jurisdictions; a region that goes moves its own tenants alone."""
    regions = [region(name, name, admission=f"{name}:1") for name in REGIONS]
    down = [region("ap", "ap", admission="ap:1", state=RegionState.DOWN), *regions[1:]]
    before, after = static_snapshot(*regions), static_snapshot(*down)
    entries = [tenant(f"t-{number}", *REGIONS) for number in range(600)]

    homes = [home_region(before, entry) for entry in entries]

    assert all(150 <= homes.count(name) <= 250 for name in REGIONS)
    for entry, home in zip(entries, homes, strict=True):
        assert home_region(after, entry) in ({home} if home != "ap" else {"eu", "us"})
    assert home_region(before, tenant("x", "eu")) == "eu"
    assert home_region(before, tenant("x", "mars")) is None
    assert home_region(static_snapshot(region("eu", "eu")), tenant("x", "eu")) is None


async def test_the_home_grants_from_its_own_store(world: QuotaWorld) -> None:
    """No lease between regions is used where none is needed."""
    grant = await take(world, home_of(world), Charge(4, 20))

    assert (grant.granted, grant.source) == (Charge(4, 20), QuotaSource.AUTHORITY)
    assert not world.far


async def test_another_region_grants_at_once_and_then_from_its_lease(world: QuotaWorld) -> None:
    """The first wish gets an advance, without waiting for the home; the next ones are leased by then."""
    away = away_from(home_of(world))

    first = await take(world, away, Charge(4, 20))
    await settle()
    second = await take(world, away, Charge(4, 20))

    assert (first.granted, first.source) == (Charge(4, 20), QuotaSource.AUTHORITY)
    assert second.granted == Charge(4, 20)
    assert world.far[away, home_of(world)].stats.advances == 4


async def test_all_regions_together_grant_one_limit(world: QuotaWorld) -> None:
    """Two regions away and the home: never more than the burst, and an advance for each that is away."""
    granted = 0
    for _ in range(40):
        for name in REGIONS:
            granted += (await take(world, name, Charge(1, 1))).granted.requests
            await settle()

    assert BURST <= granted <= BURST + 2 * 5


async def test_the_advance_is_used_up_before_the_home_has_answered(world: QuotaWorld) -> None:
    """More than the advance at once is refused for a moment, not for the rest of the day."""
    away = away_from(home_of(world))

    first, second = await take(world, away, Charge(20, 100)), await take(world, away, Charge(1, 1))

    assert first.granted.requests == 5
    assert second.granted == NOTHING
    assert second.refusal is not None
    assert second.refusal.retry_delay_s == pytest.approx(0.15)


async def test_the_homes_refusal_is_passed_on(world: QuotaWorld) -> None:
    """Whose limit it is and how long it lasts reaches the other region, and no more advances are given."""
    home = home_of(world)
    away = away_from(home)
    await take(world, home, Charge(12, 12))
    told = []
    for _ in range(100):
        world.now_s += 0.02
        grant = await take(world, away, Charge(1, 1))
        told += [grant.refusal] if grant.refusal is not None else []
        await settle()

    assert any(refusal.scope is Scope.TENANT and (refusal.retry_delay_s or 0) > 1 for refusal in told)
    assert world.far[away, home].stats.advances <= 5


async def test_with_the_home_away_the_regions_that_are_left_share_what_a_tier_keeps(world: QuotaWorld) -> None:
    """What is leased is spent first; after that half of the share without a store: two regions are left."""
    away = away_from(home_of(world))
    await take(world, away, Charge(1, 1))
    await settle()
    world.line_up = False

    grants = [await take(world, away, Charge(1, 1)) for _ in range(40)]

    sources = [grant.source for grant in grants if grant.granted]
    assert QuotaSource.LOCAL in sources
    assert 1 < sources.count(QuotaSource.LOCAL) <= max(1, BURST * 0.5 / 2)
    assert sources == sorted(sources, key=lambda source: source is QuotaSource.LOCAL)


async def test_a_home_that_is_marked_down_is_replaced(world: QuotaWorld) -> None:
    """The next region begins with one more burst, and books nothing at the old one."""
    home = home_of(world)
    await take(world, home, Charge(12, 12))
    world.source.put(region(home, home, admission=f"{home}:1", state=RegionState.DOWN))
    heir = home_of(world)

    grant = await take(world, heir, Charge(50, 50))

    assert heir != home
    assert grant.granted.requests == BURST


async def test_what_is_returned_in_another_region_comes_home(world: QuotaWorld) -> None:
    """A router's unused quota goes back to the lease, and with it to the home when the lease idles."""
    home = home_of(world)
    away = away_from(home)
    await take(world, away, Charge(4, 4))
    await settle()
    quota = world.tenants.now("acme")
    await world.quotas[away].take(quota, NOTHING, Charge(4, 4))
    world.now_s += VALID_S - 1.0

    await eventually(lambda: not world.far[away, home].held("acme"))
    await settle()

    assert (await take(world, home, Charge(50, 50))).granted.requests == BURST


async def test_bookings_that_are_lost_again_and_again_add_no_more_than_one_advance(world: QuotaWorld) -> None:
    """A line that loses every other ask does not turn advances into gifts."""
    away, granted = away_from(home_of(world)), 0
    for _ in range(30):
        for world.losing in (True, False):
            granted += (await take(world, away, Charge(1, 1))).granted.requests
            await settle()

    assert BURST <= granted <= BURST + 5


@pytest.mark.parametrize("name", ["ap", "us"])
async def test_a_region_outside_the_jurisdictions_neither_keeps_nor_sees(name: str) -> None:
    """Nothing is counted, leased or drawn there, and the refusal names the regions that may."""
    entry = tenant("gdpr", "eu", tier="pro")
    async with quota_world(lambda: QuotaWorld(entry, regions=REGIONS)) as world:
        with pytest.raises(ResidencyRouterOutside) as refusal:
            await take(world, name, Charge(1, 1), "gdpr")

        assert refusal.value.metadata == {"allowedRegions": "eu"}
        assert not world.far
        assert not world.stores[name].names()
        with pytest.raises(TenantUnknown):
            world.homes[name].require_inside("nobody")


@given(st.integers(1, 100), st.integers(1, 1000))
def test_an_advance_is_at_most_a_tenth_of_the_day(most: int, day: int) -> None:
    """And at least one request, with the tokens that its limits have for it."""
    entry = TenantEntry("acme", "pro", frozenset({"us"}), limits=TenantLimits(requests_per_day=day))
    quota = QuotaWorld(entry).tenants.now("acme")

    limit = AdvancePolicy(most).limit(quota)

    assert limit.requests == max(1, min(most, day // 10))
    assert limit.tokens == limit.requests * 50


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from(REGIONS), st.integers(1, 12)),
        st.tuples(st.just("return"), st.sampled_from(REGIONS), st.integers(1, 12)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 40)),
        st.tuples(st.just("cut"), st.just(""), st.just(0)),
        st.tuples(st.just("swallow"), st.just(""), st.just(0)),
        st.tuples(st.just("lose"), st.just(""), st.just(0)),
        st.tuples(st.just("settle"), st.just(""), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=50, deadline=None)
@given(STEPS)
def test_regions_never_grant_more_than_the_limit_and_their_advances(steps: list[tuple[str, str, int]]) -> None:
    """Over any history of wishes, returns, waits, cut lines, lost asks and answers: one limit, (regions - 1) advances.

    LOCAL grants, while a home is away, have a bound of their own and are not counted here.
    """
    asyncio.run(_history(steps))


async def _history(steps: list[tuple[str, str, int]]) -> None:
    async with quota_world(lambda: QuotaWorld(LIMITED, regions=REGIONS, advance=5)) as world:
        begun_s, spent, out = world.now_s, 0, dict.fromkeys(REGIONS, 0)
        quota = world.tenants.now("acme")
        for kind, name, number in steps:
            if kind == "take":
                grant = await take(world, name, Charge(number, number))
                if grant.source is QuotaSource.AUTHORITY:
                    out[name] += grant.granted.requests
                    spent += grant.granted.requests
            elif kind == "return":
                back = min(number, out[name])
                out[name] -= back
                spent -= back
                await world.quotas[name].take(quota, NOTHING, Charge(back, back))
            elif kind == "wait":
                world.now_s += number
            elif kind == "cut":
                world.line_up = not world.line_up
            elif kind == "swallow":
                world.swallowing = not world.swallowing
            elif kind == "lose":
                world.losing = not world.losing
            else:
                await settle()
            assert spent <= BURST + RATE * (world.now_s - begun_s) + 2 * 5 + 1e-6
