"""What is held for one tenant: expiry, refunds, refusals, and the size of the next ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_lease import LeaseOptions, Spent, TokenSource
from trunkline_lease.tenant_lease import TenantLease

OPTIONS = LeaseOptions()
FULL = Spent(2, TokenSource.AUTHORITY)
LOCAL = Spent(2, TokenSource.LOCAL)


def lease_with(*grants: tuple[int, float, Spent]) -> TenantLease:
    lease = TenantLease("acme", OPTIONS, 0.0)
    for tokens, expires_at_s, spent in grants:
        lease.grant(tokens, expires_at_s, spent)
    return lease


def test_tokens_are_spent_whole_or_not_at_all() -> None:
    """A spend that is not covered takes nothing."""
    lease = lease_with((5, 10.0, FULL))

    assert lease.spend(6, 0.0) is None
    assert lease.held_tokens == 5
    assert lease.spend(5, 0.0) == FULL
    assert lease.held_tokens == 0


def test_expired_tokens_are_not_spent() -> None:
    """Tokens are void at their expiry, also if they were counted until then."""
    lease = lease_with((5, 10.0, FULL))

    assert lease.spend(1, 10.0) is None
    assert lease.held_tokens == 0


def test_a_spend_may_use_several_grants_and_skips_expired_ones() -> None:
    """Older tokens go first; what expired does not count."""
    lease = lease_with((5, 10.0, FULL), (5, 20.0, FULL), (5, 30.0, FULL))

    assert lease.spend(7, 10.0) == FULL
    assert lease.held_tokens == 3
    assert lease.spend(4, 10.0) is None


def test_a_share_of_local_tokens_makes_a_spend_local() -> None:
    """Nothing is degraded in silence, wherever in the spend the local tokens are."""
    assert lease_with((2, 9.0, LOCAL), (2, 9.0, FULL)).spend(4, 0.0) == LOCAL
    assert lease_with((2, 9.0, FULL), (2, 9.0, LOCAL)).spend(4, 0.0) == LOCAL
    assert lease_with((2, 9.0, FULL), (2, 9.0, LOCAL)).spend(2, 0.0) == FULL


def test_refunded_tokens_can_be_spent_again_until_the_last_grant_is_void() -> None:
    """A refund lives as long as the last grant."""
    lease = lease_with((5, 10.0, FULL))
    lease.spend(5, 0.0)

    assert lease.refund(3, 5.0) == 3
    assert lease.spend(3, 6.0) == FULL
    assert lease.refund(3, 10.0) == 3
    assert lease.held_tokens == 0


def test_withdrawing_takes_only_live_tokens_before_the_given_end() -> None:
    """What is void is not given back, and what lives longer stays."""
    lease = lease_with((5, 10.0, FULL), (6, 12.0, FULL), (7, 20.0, FULL))

    assert lease.withdraw(10.0, 15.0) == 6
    assert lease.held_tokens == 7
    assert lease.withdraw(10.0) == 7
    assert lease.held_tokens == 0


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("grant"), st.integers(1, 100), st.floats(0.1, 5)),
            st.tuples(st.just("spend"), st.integers(1, 60), st.just(0.0)),
            st.tuples(st.just("refund"), st.integers(0, 80), st.just(0.0)),
            st.tuples(st.just("withdraw"), st.just(0), st.floats(0, 5)),
            st.tuples(st.just("wait"), st.just(0), st.floats(0, 3)),
        ),
        max_size=80,
    )
)
def test_spends_never_exceed_grants_and_refunds_never_exceed_spends(steps: list[tuple[str, int, float]]) -> None:
    """Over any history: spent - refunded + given back <= granted, and refunded <= spent."""
    lease, now_s = TenantLease("acme", OPTIONS, 0.0), 0.0
    granted = spent = refunded = withdrawn = 0
    for kind, tokens, seconds in steps:
        if kind == "grant":
            lease.grant(tokens, now_s + seconds, FULL)
            granted += tokens
        elif kind == "spend":
            spent += tokens if lease.spend(tokens, now_s) is not None else 0
        elif kind == "refund":
            refunded += lease.refund(tokens, now_s)
        elif kind == "withdraw":
            withdrawn += lease.withdraw(now_s, now_s + seconds)
        else:
            now_s += seconds

        assert refunded <= spent
        assert spent - refunded + withdrawn + lease.held_tokens <= granted
        assert lease.held_tokens >= 0


def test_a_refusal_is_remembered_until_the_missing_tokens_are_back() -> None:
    """8 tokens in 0.8 s means 1 token in 0.1 s; what is held counts."""
    lease = lease_with((2, 100.0, FULL))
    lease.waiting_tokens = 10

    lease.note_answer(8, 0, 0.8, now_s=10.0)

    assert lease.refused_for_s(22, 10.0) == pytest.approx(2.0)
    assert lease.refused_for_s(12, 10.0) == pytest.approx(1.0)
    assert lease.refused_for_s(12, 10.75) == pytest.approx(0.25)
    assert lease.refused_for_s(12, 11.0) == pytest.approx(0.0)


def test_a_refusal_is_never_forgotten_before_the_pace() -> None:
    """However fast the bucket refills, a refused tenant asks at most once in `ask_pace_s`."""
    lease = lease_with()
    lease.waiting_tokens = 8

    lease.note_answer(8, 0, 0.0001, now_s=10.0)

    assert lease.refused_for_s(1, 10.0) == pytest.approx(OPTIONS.ask_pace_s)


def test_a_refusal_of_more_than_was_needed_makes_the_next_ask_small() -> None:
    """It may speak of a full bucket instead of what was wanted, so it is not remembered; the ask grows again later."""
    lease = lease_with((1000, 100.0, FULL))
    lease.spend(1000, 1.0)

    lease.note_answer(500, 0, 4.0, now_s=1.0)

    assert lease.refused_for_s(1, 1.0) == 0.0
    lease.waiting_tokens = 5
    assert lease.ask_tokens(1.0) == 5
    lease.note_answer(5, 5, None, now_s=1.0)
    assert lease.ask_tokens(1.0) == 10


def test_a_full_grant_ends_a_refusal() -> None:
    """Only the last answer counts."""
    lease = lease_with()
    lease.waiting_tokens = 8
    lease.note_answer(8, 0, 2.0, now_s=10.0)

    lease.note_answer(20, 20, None, now_s=10.5)

    assert lease.refused_for_s(100, 10.5) == 0.0


def test_the_next_ask_follows_the_recent_rate() -> None:
    """A tenant that spent 400 tokens in a second is asked 200 for half a second; an idle one falls back in steps."""
    lease = lease_with((1000, 100.0, FULL))
    for _ in range(100):
        lease.spend(4, 0.5)

    assert lease.ask_tokens(1.0) == 200
    assert lease.ask_tokens(2.0) == 100
    assert lease.ask_tokens(3.0) == 50
    assert [lease.ask_tokens(4.0 + i) for i in range(9)][-1] == OPTIONS.first_ask_tokens


def test_an_ask_covers_those_who_wait_and_stays_within_its_bound() -> None:
    """Waiting spenders raise the ask above the rate, up to the contract's bound."""
    lease = lease_with((5, 100.0, FULL))
    lease.waiting_tokens = 75

    assert lease.ask_tokens(1.0) == 70

    lease.waiting_tokens = 1_000_000
    assert lease.ask_tokens(2.0) == OPTIONS.max_ask_tokens
