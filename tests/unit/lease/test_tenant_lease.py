"""What is held for one tenant: expiry, refunds, refusals, and the size of the next ask."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import NOTHING, Answer, Ask, Charge, LeaseOptions, Refused, Spent, TokenSource
from trunkline_lease.tenant_lease import TenantLease

OPTIONS = LeaseOptions()
FULL = Spent(2, TokenSource.AUTHORITY)
LOCAL = Spent(2, TokenSource.LOCAL)


def lease_with(*grants: tuple[Charge, float, Spent]) -> TenantLease:
    lease = TenantLease("acme", OPTIONS, 0.0)
    for charge, expires_at_s, spent in grants:
        lease.grant(charge, expires_at_s, spent)
    return lease


def answered(
    lease: TenantLease, wanted: Charge, granted: Charge, delay_s: float | None, now_s: float, period: int = 1
) -> None:
    refused = Refused(delay_s, period=quota_pb.LimitPeriod.ValueType(period))
    lease.note_answer(Ask("acme", wanted, now_s), Answer(granted, 5.0, FULL, None if granted else refused), now_s)


def refused_for_s(lease: TenantLease, tokens: int, now_s: float) -> float | None:
    refusal = lease.refusal(0, tokens, now_s)
    return None if refusal is None else refusal.retry_delay_s


def test_a_charge_is_spent_whole_or_not_at_all() -> None:
    """A spend that is not covered in one currency takes nothing of the other."""
    lease = lease_with((Charge(2, 5), 10.0, FULL))

    assert lease.spend(1, 6, 0.0) is None
    assert lease.spend(3, 1, 0.0) is None
    assert lease.held == Charge(2, 5)
    assert lease.spend(2, 5, 0.0) == FULL
    assert lease.held == NOTHING


def test_what_expired_is_not_spent() -> None:
    """Quota is void at its expiry, also if it was counted until then."""
    lease = lease_with((Charge(5, 5), 10.0, FULL))

    assert lease.spend(1, 1, 10.0) is None
    assert lease.held == NOTHING


def test_a_spend_may_use_several_grants_and_skips_expired_ones() -> None:
    """Older quota goes first; what expired does not count; each currency has its own pace through the grants."""
    lease = lease_with(*((Charge(2, 5), end, FULL) for end in (10.0, 20.0, 30.0)))

    assert lease.spend(1, 7, 10.0) == FULL
    assert lease.held == Charge(3, 3)
    assert lease.spend(1, 4, 10.0) is None
    assert lease.spend(3, 3, 10.0) == FULL


def test_a_later_grant_may_end_sooner() -> None:
    """A keeper that grants for a shorter time does not make older quota void, nor keep its own alive."""
    lease = lease_with((Charge(1, 1), 20.0, FULL), (Charge(1, 1), 10.0, FULL))

    assert lease.spend(1, 1, 15.0) == FULL
    assert lease.spend(1, 1, 15.0) is None


def test_a_share_of_local_quota_makes_a_spend_local() -> None:
    """Nothing is degraded in silence, wherever in the spend the local quota is."""
    two = Charge(2, 2)

    assert lease_with((two, 9.0, LOCAL), (two, 9.0, FULL)).spend(4, 4, 0.0) == LOCAL
    assert lease_with((two, 9.0, FULL), (two, 9.0, LOCAL)).spend(1, 4, 0.0) == LOCAL
    assert lease_with((two, 9.0, FULL), (two, 9.0, LOCAL)).spend(2, 2, 0.0) == FULL


def test_refunds_can_be_spent_again_until_the_last_grant_is_void_and_go_home_then() -> None:
    """A refund lives as long as the last grant; after that it belongs to the authority."""
    lease = lease_with((Charge(5, 5), 10.0, FULL))
    lease.spend(5, 5, 0.0)

    assert lease.refund(Charge(1, 3), 5.0) == (Charge(1, 3), NOTHING)
    assert lease.spend(1, 3, 6.0) == FULL
    assert lease.refund(Charge(9, 3), 10.0) == (Charge(5, 3), Charge(5, 3))
    assert lease.held == NOTHING


def test_withdrawing_takes_only_what_lives_and_ends_before_the_given_time() -> None:
    """What is void is not given back, and what lives longer stays."""
    lease = lease_with((Charge(1, 5), 10.0, FULL), (Charge(2, 6), 12.0, FULL), (Charge(3, 7), 20.0, FULL))

    assert lease.withdraw(10.0, 15.0) == Charge(2, 6)
    assert lease.held == Charge(3, 7)
    assert lease.withdraw(10.0) == Charge(3, 7)
    assert lease.held == NOTHING


CHARGES = st.builds(Charge, st.integers(0, 60), st.integers(0, 60))


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("grant"), CHARGES, st.floats(0.1, 5)),
            st.tuples(st.just("spend"), CHARGES, st.just(0.0)),
            st.tuples(st.just("refund"), CHARGES, st.just(0.0)),
            st.tuples(st.just("withdraw"), st.just(NOTHING), st.floats(0, 5)),
            st.tuples(st.just("wait"), st.just(NOTHING), st.floats(0, 3)),
        ),
        max_size=80,
    )
)
def test_spends_never_exceed_grants_and_refunds_never_exceed_spends(steps: list[tuple[str, Charge, float]]) -> None:
    """Over any history, in both currencies: spent + given back <= granted + refunded, and refunded <= spent."""
    lease, now_s = TenantLease("acme", OPTIONS, 0.0), 0.0
    granted = spent = refunded = withdrawn = homeless = NOTHING
    for kind, charge, seconds in steps:
        if kind == "grant":
            lease.grant(charge, now_s + seconds, FULL)
            granted += charge
        elif kind == "spend":
            spent += charge if lease.spend(charge.requests, charge.tokens, now_s) is not None else NOTHING
        elif kind == "refund":
            accepted, sent = lease.refund(charge, now_s)
            refunded += accepted
            homeless += sent
        elif kind == "withdraw":
            withdrawn += lease.withdraw(now_s, now_s + seconds)
        else:
            now_s += seconds

        assert refunded.within(spent)
        assert (spent + withdrawn + homeless + lease.held).within(granted + refunded)


def test_a_refusal_is_remembered_until_what_is_missing_is_back() -> None:
    """8 tokens in 0.8 s means 1 token in 0.1 s; what is held counts."""
    lease = lease_with((Charge(0, 2), 100.0, FULL))
    lease.waiting_tokens = 10

    answered(lease, Charge(0, 8), NOTHING, 0.8, 10.0)

    assert refused_for_s(lease, 22, 10.0) == pytest.approx(2.0)
    assert refused_for_s(lease, 12, 10.0) == pytest.approx(1.0)
    assert refused_for_s(lease, 12, 10.75) == pytest.approx(0.25)
    assert refused_for_s(lease, 12, 11.0) is None


def test_a_days_limit_is_not_back_before_the_days_end() -> None:
    """Less does not come back sooner, and the told delay is the whole one, though it is looked at again before."""
    lease = lease_with()
    lease.waiting_tokens = 100

    answered(lease, Charge(0, 100), NOTHING, 3600.0, 10.0, quota_pb.LIMIT_PERIOD_DAY)

    assert refused_for_s(lease, 1, 11.0) == pytest.approx(3599.0)
    assert refused_for_s(lease, 1, 10.0 + OPTIONS.recheck_s) is None


def test_a_refusal_without_a_delay_stays_one() -> None:
    """What never fits is told without a time to come back."""
    lease = lease_with()
    lease.waiting_tokens = 100

    answered(lease, Charge(0, 100), NOTHING, None, 10.0)

    refusal = lease.refusal(0, 100, 10.5)
    assert refusal is not None
    assert refusal.error().retry_delay_s is None


def test_a_refusal_is_never_forgotten_before_the_pace() -> None:
    """However fast the bucket refills, a refused tenant asks at most once in `ask_pace_s`."""
    lease = lease_with()
    lease.waiting_tokens = 8

    answered(lease, Charge(0, 8), NOTHING, 0.0001, 10.0)

    assert refused_for_s(lease, 1, 10.0) == pytest.approx(OPTIONS.ask_pace_s)


def test_a_refusal_of_more_than_was_needed_makes_the_next_ask_small() -> None:
    """It may speak of a full bucket instead of what was wanted, so it is not remembered; the ask grows again later."""
    lease = lease_with((Charge(1000, 1000), 100.0, FULL))
    lease.spend(1000, 1000, 1.0)

    answered(lease, Charge(50, 500), NOTHING, 4.0, 1.0)

    assert refused_for_s(lease, 1, 1.0) is None
    lease.waiting_requests, lease.waiting_tokens = 1, 5
    assert lease.ask(1.0) == Charge(1, 5)
    answered(lease, Charge(1, 5), Charge(1, 5), None, 1.0)
    assert lease.ask(1.0) == Charge(2, 10)


def test_a_full_grant_ends_a_refusal() -> None:
    """Only the last answer counts."""
    lease = lease_with()
    lease.waiting_tokens = 8
    answered(lease, Charge(0, 8), NOTHING, 2.0, 10.0)

    answered(lease, Charge(0, 20), Charge(0, 20), None, 10.5)

    assert refused_for_s(lease, 100, 10.5) is None


def test_the_next_ask_follows_the_recent_rates() -> None:
    """100 requests of 4 tokens in a second ask for half a second of both; an idle tenant falls back in steps."""
    lease = lease_with((Charge(100, 400), 100.0, FULL))
    answered(lease, Charge(100, 400), Charge(100, 400), None, 0.0)
    for _ in range(100):
        lease.spend(1, 4, 0.5)

    assert lease.ask(1.0) == Charge(50, 200)
    assert lease.ask(2.0) == Charge(25, 100)
    assert lease.ask(3.0) == Charge(13, 50)
    last = [lease.ask(4.0 + i) for i in range(9)][-1]
    assert last == Charge(OPTIONS.first_ask_requests, OPTIONS.first_ask_tokens)


def test_asks_start_small_and_double() -> None:
    """A few quick requests do not take all that a small tenant has; a lasting flow soon gets what it needs."""
    lease, sizes = lease_with((Charge(10_000, 10_000), 100.0, FULL)), []
    for number in range(6):
        lease.spend(1000, 1000, float(number))
        lease.withdraw(float(number))
        wanted = lease.ask(float(number))
        sizes.append(wanted.requests)
        lease.grant(Charge(10_000, 10_000), 100.0, FULL)
        answered(lease, wanted, wanted, None, float(number))

    assert sizes == [8, 16, 32, 64, 128, 256]


def test_what_is_held_in_plenty_is_not_asked_for() -> None:
    """A tenant that spends tokens alone does not pile up requests."""
    lease = lease_with((Charge(1000, 10), 100.0, FULL))

    assert lease.ask(1.0) == Charge(0, OPTIONS.first_ask_tokens)
    lease.grant(Charge(0, 1000), 100.0, FULL)
    assert lease.ask(2.0) == NOTHING


def test_an_ask_covers_those_who_wait_and_stays_within_its_bound() -> None:
    """Waiting spenders raise the ask above the rate, up to the contract's bound."""
    lease = lease_with((Charge(5, 5), 100.0, FULL))
    lease.waiting_requests, lease.waiting_tokens = 15, 75

    assert lease.ask(1.0) == Charge(10, 70)

    lease.waiting_tokens = 1_000_000
    assert lease.ask(2.0).tokens == OPTIONS.max_ask
