"""Report's bounds, and what a router is told."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.budgets import Budget, BudgetState
from trunkline_admission.levels import Level, TierState
from trunkline_admission.report_messages import MAX_TENANTS, parse_report, report_response
from trunkline_mesh.errors import FieldInvalid


def valid() -> admission_pb.ReportRequest:
    """Return a report within all bounds."""
    return admission_pb.ReportRequest(
        router="router-1",
        sequence=7,
        window=Duration(nanos=500_000_000),
        tiers=[admission_pb.TierReport(tier="pro", calls=3, errors=1, slow=1, latency_counts=[1, 2], utilisation=0.5)],
        tenants=[admission_pb.TenantReport(tenant_id="acme", calls=3, cost_micros=10)],
    )


def test_a_report_is_read_as_it_was_sent() -> None:
    """All of it."""
    report = parse_report(valid())

    assert (report.router, report.sequence, report.window_s) == ("router-1", 7, 0.5)
    assert report.tiers[0].latency_counts == (1, 2)
    assert (report.tenants[0].tenant_id, report.tenants[0].cost_micros) == ("acme", 10)


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("router", {"router": ""}),
        ("router", {"router": "x" * 64}),
        ("router", {"router": "a\nb"}),
        ("sequence", {"sequence": 0}),
        ("sequence", {"sequence": -1}),
        ("sequence", {"sequence": 2**60}),
        ("window", {"window": Duration()}),
        ("window", {"window": Duration(seconds=61)}),
        ("tiers", {"tiers": [admission_pb.TierReport()]}),
        ("tiers", {"tiers": [admission_pb.TierReport(tier="a"), admission_pb.TierReport(tier="a")]}),
        ("tiers", {"tiers": [admission_pb.TierReport(tier=f"t{index}") for index in range(65)]}),
        ("tiers[0].calls", {"tiers": [admission_pb.TierReport(tier="a", calls=-1)]}),
        ("tiers[0].errors", {"tiers": [admission_pb.TierReport(tier="a", calls=1, errors=2)]}),
        ("tiers[0].limit_errors", {"tiers": [admission_pb.TierReport(tier="a", calls=2, errors=1, limit_errors=2)]}),
        ("tiers[0].slow", {"tiers": [admission_pb.TierReport(tier="a", slow=1)]}),
        ("tiers[0].latency_counts", {"tiers": [admission_pb.TierReport(tier="a", latency_counts=[0] * 41)]}),
        ("tiers[0].latency_counts", {"tiers": [admission_pb.TierReport(tier="a", latency_counts=[-1])]}),
        ("tiers[0].utilisation", {"tiers": [admission_pb.TierReport(tier="a", utilisation=float("nan"))]}),
        ("tiers[0].utilisation", {"tiers": [admission_pb.TierReport(tier="a", utilisation=-0.1)]}),
        ("tenants", {"tenants": [admission_pb.TenantReport(tenant_id=f"{n}") for n in range(MAX_TENANTS + 1)]}),
        ("tenants", {"tenants": [admission_pb.TenantReport(tenant_id="x" * 129)]}),
        ("tenants[0].cost_micros", {"tenants": [admission_pb.TenantReport(tenant_id="a", cost_micros=-5)]}),
        ("tenants[0].cost_micros", {"tenants": [admission_pb.TenantReport(tenant_id="a", cost_micros=10**16)]}),
    ],
)
def test_what_is_out_of_bounds_is_named(field: str, change: dict[str, object]) -> None:
    """By the contract's names."""
    request = valid()
    for name in change:
        request.ClearField(name)  # type: ignore[arg-type] # by the table above
    request.MergeFrom(admission_pb.ReportRequest(**change))  # type: ignore[arg-type] # by the table above

    with pytest.raises(FieldInvalid) as caught:
        parse_report(request)

    assert field in [violation.field for violation in caught.value.violations]


def test_a_refusal_is_bounded() -> None:
    """However much is wrong."""
    request = valid()
    request.ClearField("tenants")
    request.tenants.extend(admission_pb.TenantReport(tenant_id=f"{n}", calls=-1) for n in range(500))

    with pytest.raises(FieldInvalid) as caught:
        parse_report(request)

    assert len(caught.value.violations) <= 16


def test_what_a_router_is_told() -> None:
    """Levels by tier with their beginnings, budgets, and how long it holds."""
    states = {"free": TierState(Level.REDUCED, 100.5, "latency"), "pro": TierState()}
    response = report_response(states, [Budget("acme", BudgetState.SPENT, 1.5, 200.0)])

    assert [told.level for told in response.levels] == [
        quota_pb.SERVICE_LEVEL_REDUCED,
        quota_pb.SERVICE_LEVEL_NORMAL,
    ]
    assert response.levels[0].since_time.ToMicroseconds() == 100_500_000
    assert not response.levels[1].HasField("since_time")
    assert response.budgets[0].state == admission_pb.BUDGET_STATE_SPENT
    assert response.budgets[0].reset_time.seconds == 200
    assert response.valid_duration.seconds == 10
