"""The lease use case: what may come back, and tenants that get nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.admission.quota_world import QuotaWorld, quota_world

from trunkline_admission.granting import NO_TENANT_RETRY_S
from trunkline_admission.leases import LeaseAccount, Leases
from trunkline_lease import NOTHING, Ask, Charge
from trunkline_map.entries import TenantEntry, TenantLimits
from trunkline_map.testing import tenant


@pytest.fixture
async def world() -> AsyncIterator[QuotaWorld]:
    entries = (
        tenant("acme", "us", tier="enterprise"),
        tenant("gone", "us", suspended=True),
        TenantEntry("small", "pro", frozenset({"us"}), limits=TenantLimits(requests_per_minute=6), revision=1),
        tenant("gdpr", "eu", tier="pro"),
    )
    async with quota_world(lambda: QuotaWorld(*entries)) as made:
        yield made


@pytest.fixture
def leases(world: QuotaWorld) -> Leases:
    return Leases(world.tenants, world.quotas["us"], valid_s=5.0, max_entries=10, clock=world.clock)


def ask(tenant_id: str, wanted: Charge = NOTHING, returned: Charge = NOTHING, advanced: Charge = NOTHING) -> Ask:
    return Ask(tenant_id, wanted, 0.0, returned, advanced=advanced)


async def test_a_wish_gets_quota_and_the_tenants_rank(leases: Leases) -> None:
    """The grant carries what the router needs to serve the tenant by rank."""
    leased = await leases.exchange("router", ask("acme", Charge(10, 100)))

    assert (leased.grant.granted, leased.rank, leased.tier) == (Charge(10, 100), 2, "enterprise")
    assert leased.grant.refusal is None


@pytest.mark.parametrize("tenant_id", ["gone", "nobody", "gdpr"])
async def test_who_has_no_quota_here_gets_none(leases: Leases, world: QuotaWorld, tenant_id: str) -> None:
    """Suspended, unknown, and of other jurisdictions: told to ask later, and nothing is kept of them."""
    for number in range(100):
        leased = await leases.exchange("router", ask(tenant_id, Charge(number, 5)))

    assert (leased.grant.granted, leased.tier) == (NOTHING, "")
    assert leased.grant.refusal is not None
    assert leased.grant.refusal.retry_delay_s == NO_TENANT_RETRY_S
    assert world.stores["us"].calls == 0


async def test_only_what_was_handed_out_comes_back(leases: Leases) -> None:
    """A router that returns more than it had, or what another one had, adds nothing to the quota."""
    await leases.exchange("router", ask("small", Charge(12, 600)))

    foreign = await leases.exchange("thief", ask("small", Charge(10, 10), Charge(10, 10)))
    own = await leases.exchange("router", ask("small", Charge(1000, 10_000), Charge(5, 500)))
    again = await leases.exchange("router", ask("small", Charge(12, 600), Charge(1000, 10_000)))
    more = await leases.exchange("router", ask("small", Charge(1, 1), NOTHING))

    assert foreign.grant.granted == NOTHING
    assert own.grant.granted == Charge(5, 500)
    assert again.grant.granted == Charge(12, 600)
    assert more.grant.granted == NOTHING


async def test_what_was_advanced_is_booked_and_may_come_back(leases: Leases) -> None:
    """Another region's advance takes from the quota, and its unused part returns."""
    await leases.exchange("eu", ask("small", advanced=Charge(4, 200)))
    after = await leases.exchange("router", ask("small", Charge(1000, 10_000)))
    back = await leases.exchange("eu", ask("small", Charge(1000, 10_000), Charge(3, 80)))

    assert after.grant.granted == Charge(8, 400)
    assert back.grant.granted == Charge(3, 80)


async def test_void_quota_does_not_come_back(leases: Leases, world: QuotaWorld) -> None:
    """After two lifetimes a lease is void, whoever still has it."""
    await leases.exchange("router", ask("small", Charge(12, 10)))
    world.now_s += 10.0

    leased = await leases.exchange("router", ask("small", Charge(1000, 10), Charge(12, 10)))

    assert leased.grant.granted.requests == 1  # what has flowed in


def test_the_account_is_bounded() -> None:
    """The least recently used entry makes room, and can return nothing then."""
    account = LeaseAccount(valid_s=5.0, max_entries=2, clock=lambda: 0.0)
    for name in "abc":
        account.hand_out("router", name, "", Charge(5, 5))

    assert [account.take_back("router", name, "", Charge(5, 5)) for name in "abc"] == [
        NOTHING,
        Charge(5, 5),
        Charge(5, 5),
    ]


def test_each_key_has_an_account_of_its_own() -> None:
    """What was leased for one credential is not returned for another."""
    account = LeaseAccount(valid_s=5.0, max_entries=9, clock=lambda: 0.0)
    account.hand_out("router", "acme", "robot", Charge(5, 5))

    assert account.take_back("router", "acme", "", Charge(5, 5)) == NOTHING
    assert account.take_back("router", "acme", "robot", Charge(9, 3)) == Charge(5, 3)


CHARGES = st.builds(Charge, st.integers(0, 50), st.integers(0, 50))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("out"), CHARGES, st.just(0.0)),
            st.tuples(st.just("back"), CHARGES, st.just(0.0)),
            st.tuples(st.just("wait"), st.just(NOTHING), st.floats(0, 8)),
        ),
        max_size=60,
    )
)
def test_no_more_comes_back_than_went_out(steps: list[tuple[str, Charge, float]]) -> None:
    """In both currencies, over any history; and nothing from before two lifetimes."""
    now_s, out, back, fresh = 0.0, NOTHING, NOTHING, [(0.0, NOTHING)]
    account = LeaseAccount(valid_s=5.0, max_entries=5, clock=lambda: now_s)
    for kind, charge, seconds in steps:
        if kind == "out":
            account.hand_out("router", "acme", "", charge)
            out += charge
            fresh.append((now_s, charge))
        elif kind == "back":
            accepted = account.take_back("router", "acme", "", charge)
            back += accepted
            young = sum((each for at_s, each in fresh if now_s - at_s < 10.0), NOTHING)
            assert accepted.within(charge)
            assert accepted.within(young)
        else:
            now_s += seconds
        assert back.within(out)
