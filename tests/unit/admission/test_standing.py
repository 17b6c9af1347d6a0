"""A tenant's standing, as admission tells it: tier and rank, or the reason of a refusal."""

from __future__ import annotations

import pytest
from tests.unit.admission.quota_world import QuotaWorld, quota_world
from tests.unit.admission.test_tenants import MapHolderThatIsFed

from trunkline_admission.home import Homes
from trunkline_admission.quota import Period
from trunkline_admission.standing import Standings, TenantStanding
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.testing import tenant
from trunkline_mesh.errors import (
    DomainError,
    MapNotReady,
    ResidencyRouterOutside,
    TenantSuspended,
    TenantUnknown,
)
from trunkline_tiers import default_tiers

ENTRIES = (
    tenant("acme", "us", tier="enterprise"),
    tenant("odd", "us", tier="of tomorrow"),
    tenant("gone", "us", suspended=True),
    tenant("gdpr", "eu"),
)


def standings_of(world: QuotaWorld) -> Standings:
    return Standings(world.tenants, world.homes["us"].require_inside)


async def test_a_tenant_is_told_by_tier_and_rank() -> None:
    """A tier that the tier file does not have is told as the one that it counts as."""
    async with quota_world(lambda: QuotaWorld(*ENTRIES)) as world:
        standings = standings_of(world)
        assert standings.of("acme") == TenantStanding("enterprise", 2)
        assert standings.of("odd") == TenantStanding("free", 0)
        world.source.put(tenant("acme", "us", tier="pro"))
        assert standings.of("acme") == TenantStanding("pro", 1)


@pytest.mark.parametrize(
    ("name", "refusal"),
    [("nobody", TenantUnknown), ("gone", TenantSuspended), ("gdpr", ResidencyRouterOutside)],
)
async def test_a_tenant_is_refused_as_an_admission_would_be(name: str, refusal: type[DomainError]) -> None:
    """Unknown, suspended, or not of this region's jurisdictions."""
    async with quota_world(lambda: QuotaWorld(*ENTRIES)) as world:
        with pytest.raises(refusal):
            standings_of(world).of(name)


async def test_before_the_map_is_there_nobody_is_told_anything() -> None:
    """Who asks must not take that for an answer."""
    source = MapHolderThatIsFed()
    standings = Standings(TenantQuotas(source, default_tiers()), Homes("us", source).require_inside)
    with pytest.raises(MapNotReady):
        standings.of("acme")


async def test_telling_it_spends_nothing_and_asks_no_store() -> None:
    """However often."""
    async with quota_world(lambda: QuotaWorld(*ENTRIES)) as world:
        standings = standings_of(world)
        for _ in range(100):
            standings.of("acme")
        assert world.stores["us"].calls == 0
        states = await world.authorities["us"].states(world.tenants.now("acme"))
        assert [state.used for state in states if state.period is Period.DAY] == [0]
