"""What another region's later version tells: understood as far as it is known here, and never an error."""

from __future__ import annotations

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.notes import refusal_of, warnings_of
from trunkline_admission.quota import Period, Scope, Unit
from trunkline_admission.remote_states import state_of
from trunkline_lease.refused import Refused

SCOPE = quota_pb.LimitScope.ValueType(99)
PERIOD = quota_pb.LimitPeriod.ValueType(99)
UNIT = quota_pb.LimitUnit.ValueType(99)


def test_a_refusal_by_an_unknown_limit_is_told_without_it() -> None:
    """Callers get the reason and the delay; another region takes it for the tenant's rate."""
    refused = Refused(3.0, SCOPE, PERIOD, UNIT)

    error, refusal = refused.error(), refusal_of(refused)

    assert error.retry_delay_s == 3.0
    assert not {"scope", "period", "unit"} & set(error.metadata)
    assert (refusal.scope, refusal.period, refusal.unit) == (Scope.TENANT, Period.RATE, Unit.REQUESTS)
    known = Refused(None, quota_pb.LIMIT_SCOPE_KEY, quota_pb.LIMIT_PERIOD_DAY, UNIT).error()
    assert dict(known.metadata) == {"scope": "key", "period": "day"}


def test_notes_and_states_of_unknown_kinds_are_left_out() -> None:
    """The others stay."""
    scope, period, unit = quota_pb.LIMIT_SCOPE_TENANT, quota_pb.LIMIT_PERIOD_MONTH, quota_pb.LIMIT_UNIT_MICROS
    nothing = quota_pb.LIMIT_SCOPE_UNSPECIFIED
    kinds = [(scope, period, unit), (SCOPE, period, unit), (scope, PERIOD, unit), (scope, period, UNIT)]
    kinds.append((nothing, period, unit))
    notes = [quota_pb.LimitNote(scope=one, period=two, unit=three) for one, two, three in kinds]
    states = [usage_pb.LimitState(scope=one, period=two, unit=three) for one, two, three in kinds]

    assert [(each.scope, each.unit) for each in warnings_of(notes)] == [(Scope.TENANT, Unit.MICROS)]
    assert [state_of(each) is None for each in states] == [False, True, True, True, True]
