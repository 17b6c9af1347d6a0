"""What a refused or granted wish looks like on the wire, and what the holder reads of it."""

from __future__ import annotations

from google.protobuf.duration_pb2 import Duration
from hypothesis import given
from hypothesis import strategies as st

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.granting import LeaseGrant
from trunkline_admission.messages import ask_of, lease_response
from trunkline_admission.notes import MAX_NOTES, notes_of, refusal_of, refused_of, warnings_of
from trunkline_admission.quota import Grant, LimitWarning, Period, QuotaSource, Refusal, Scope, Unit
from trunkline_lease import NOTHING, Ask, Charge, Refused
from trunkline_lease.messages import answer_of, request_of

VALID = Duration(seconds=5)
SCOPES, PERIODS, UNITS = st.sampled_from(Scope), st.sampled_from(Period), st.sampled_from(Unit)
WARNINGS = st.lists(
    st.builds(
        LimitWarning,
        SCOPES,
        PERIODS,
        UNITS,
        st.floats(0, 2),
        st.booleans(),
        st.none() | st.integers(0, 10**9).map(float),
    ),
    max_size=MAX_NOTES,
).map(tuple)
REFUSALS = st.builds(
    Refusal, SCOPES, PERIODS, UNITS, st.none() | st.integers(1, 10**6).map(float), st.none() | st.integers(1, 10**12)
)
CHARGES = st.builds(Charge, st.integers(0, 10_000), st.integers(0, 10_000))


@given(CHARGES, CHARGES, CHARGES, st.text("abc", max_size=9))
def test_a_wish_survives_the_wire(wanted: Charge, returned: Charge, advanced: Charge, key: str) -> None:
    """Whatever is asked is read as it was meant."""
    ask = Ask("acme", wanted, 0.0, returned, key, advanced)

    assert ask_of(request_of(ask)) == ask


@given(WARNINGS, REFUSALS)
def test_a_refusal_survives_the_wire(warnings: tuple[LimitWarning, ...], refusal: Refusal) -> None:
    """Scope, period, unit, delay, and the most that the limit has room for; at most 8 notes come with it."""
    grant = Grant(NOTHING, QuotaSource.AUTHORITY, refusal, warnings)
    ask = Ask("acme", Charge(1, 5), 0.0)

    response = lease_response(ask, LeaseGrant(grant, 2, "pro"), VALID)
    answer = answer_of(response)

    assert len(response.limit_notes) <= MAX_NOTES
    assert answer.refused is not None
    assert (answer.refused.scope, answer.refused.period) == (refusal.scope.value, refusal.period.value)
    assert answer.refused.retry_delay_s == refusal.retry_delay_s
    assert answer.refused.unit == refusal.unit.value
    assert answer.refused.most == refusal.most


@given(WARNINGS, CHARGES)
def test_a_grant_survives_the_wire(warnings: tuple[LimitWarning, ...], granted: Charge) -> None:
    """Both currencies, rank, source, validity and warnings."""
    grant = Grant(granted, QuotaSource.LOCAL, warnings=warnings)

    answer = answer_of(lease_response(Ask("acme", granted, 0.0), LeaseGrant(grant, 2, "pro"), VALID))

    assert answer.granted == granted
    assert (answer.spent.rank, answer.spent.source.name) == (2, "LOCAL")
    assert warnings_of(answer.spent.notes) == warnings
    assert answer.valid_s == (5.0 if granted else 0.0)


def test_notes_are_bounded_and_strange_ones_left_out() -> None:
    """Another region may know kinds of limits that this one does not."""
    warning = LimitWarning(Scope.TIER, Period.RATE, Unit.TOKENS, 1.5, True, None)

    assert len(notes_of([warning] * 20)) == MAX_NOTES
    assert warnings_of([quota_pb.LimitNote(used_part=1.0)]) == ()


def test_what_a_refusal_leaves_open_counts_as_the_tenants_rate() -> None:
    """A refusal without a scope still is one."""
    assert refusal_of(Refused(2.0)) == Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, 2.0)
    assert refused_of(None).retry_delay_s is None
