"""The lease use case: what may come back, and tenants that get nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.admission.test_local_quota import local

from trunkline_admission.leases import NO_TENANT_RETRY_S, LeaseAccount, Leases
from trunkline_admission.settings import DEFAULT_TIERS
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.testing import StaticMap, static_map, tenant


@pytest.fixture
async def source() -> StaticMap:
    return static_map(
        tenant("acme", "eu", tier="enterprise"), tenant("gone", "eu", suspended=True), tenant("small", "eu", tier="pro")
    )


@pytest.fixture
async def leases(source: StaticMap) -> Leases:
    return Leases(TenantQuotas(source, DEFAULT_TIERS), local(), valid_s=5.0, max_tenants=10, clock=lambda: 0.0)


async def test_a_wish_gets_tokens_and_the_tenants_rank(leases: Leases) -> None:
    """The grant carries what the router needs to serve the tenant by rank."""
    grant = await leases.exchange("router", "acme", 100, 0)

    assert (grant.granted_tokens, grant.rank, grant.tier, grant.retry_delay_s) == (100, 2, "enterprise", None)


@pytest.mark.parametrize("tenant_id", ["nobody", "gone"])
async def test_unknown_and_suspended_tenants_get_no_tokens(leases: Leases, tenant_id: str) -> None:
    """They are answered without tokens, and the stream goes on."""
    grant = await leases.exchange("router", tenant_id, 100, 0)

    assert (grant.granted_tokens, grant.retry_delay_s) == (0, NO_TENANT_RETRY_S)


async def test_only_what_was_granted_can_be_returned(leases: Leases) -> None:
    """A router that returns more than it got does not create quota."""
    everything = (await leases.exchange("router", "small", 10_000, 0)).granted_tokens

    await leases.exchange("other router", "small", 0, everything)
    assert (await leases.exchange("router", "small", 10_000, 0)).granted_tokens == 0
    assert (await leases.exchange("router", "small", 10_000, 10_000)).granted_tokens == everything


async def test_a_change_of_the_map_counts_from_the_next_wish(leases: Leases, source: StaticMap) -> None:
    """A suspension stops grants at once; a new tier changes the rank."""
    source.put(replace(source.snapshot.tenant("small") or tenant("small"), tier="free"))
    assert (await leases.exchange("router", "small", 1, 0)).rank == 0

    source.put(tenant("small", "eu", suspended=True))
    assert (await leases.exchange("router", "small", 1, 0)).granted_tokens == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("out"), st.integers(0, 50)),
            st.tuples(st.just("back"), st.integers(0, 80)),
            st.tuples(st.just("wait"), st.integers(0, 12)),
        ),
        max_size=60,
    )
)
def test_what_is_taken_back_was_handed_out_within_two_lifetimes(steps: list[tuple[str, int]]) -> None:
    """Returns never exceed what was handed out, nor what was handed out lately."""
    now_s = [0.0]
    account = LeaseAccount(valid_s=5.0, max_entries=10, clock=lambda: now_s[0])
    handed: list[tuple[float, int]] = []
    taken = 0
    for kind, number in steps:
        if kind == "out":
            account.hand_out("router", "acme", number)
            handed.append((now_s[0], number))
        elif kind == "back":
            accepted = account.take_back("router", "acme", number)
            taken += accepted

            assert accepted <= number
            assert accepted <= sum(tokens for at_s, tokens in handed if at_s > now_s[0] - 10.0)
        else:
            now_s[0] += number

        assert taken <= sum(tokens for _, tokens in handed)


def test_the_account_is_bounded() -> None:
    """The least recently granted entry makes room and can then return nothing."""
    account = LeaseAccount(valid_s=5.0, max_entries=2, clock=lambda: 0.0)
    for tenant_id in ("a", "b", "a", "c"):
        account.hand_out("router", tenant_id, 5)

    assert [account.take_back("router", tenant_id, 100) for tenant_id in ("a", "b", "c")] == [10, 0, 5]
