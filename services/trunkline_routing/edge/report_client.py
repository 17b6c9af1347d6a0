"""Adapter: reports over `trunkline.admission.v1`."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.report_sums import Span, TenantSum, TierSum
from trunkline_routing.edge.standing import Budget, Spending, Told
from trunkline_routing.edge.targets import Stubs
from trunkline_routing.edge.trail import set_seconds

TIMEOUT_S: Final = 1.0
"""A report that takes longer is sent again."""

_STATES: Final[Mapping[int, Spending]] = {
    admission_pb.BUDGET_STATE_WARNED: Spending.WARNED,
    admission_pb.BUDGET_STATE_SPENT: Spending.SPENT,
}


class ReportClient:
    """Sends reports to the admission service of this region; implements `region_report.Send`."""

    def __init__(
        self, channels: ChannelPool, endpoints: str, credential: Callable[[], Sequence[tuple[str, str]]]
    ) -> None:
        """Call `endpoints`, separated by commas; `credential` returns a service credential's metadata."""
        self._stubs = Stubs(channels, admission_grpc.AdmissionServiceStub)
        self._endpoints = (endpoints,)
        self._credential = credential
        self._router = f"router-{secrets.token_hex(8)}"

    async def __call__(self, span: Span) -> Told:
        """Send one report. Raises domain errors; OSError where the credential cannot be read."""
        request = admission_pb.ReportRequest(
            router=self._router,
            sequence=span.sequence,
            tiers=[_tier(name, one) for name, one in span.tiers.items()],
            tenants=[_tenant(name, one) for name, one in span.tenants.items()],
        )
        set_seconds(request.window, span.window_s)
        stub, deadline = self._stubs.of(self._endpoints), Deadline.after(TIMEOUT_S)
        return told_of(await call(stub.Report, request, deadline=deadline, metadata=tuple(self._credential())))


def _tier(name: str, one: TierSum) -> admission_pb.TierReport:
    return admission_pb.TierReport(
        tier=name,
        calls=one.calls,
        errors=one.errors,
        limit_errors=one.limit_errors,
        slow=one.slow,
        latency_counts=one.latency_counts,
        utilisation=one.utilisation,
    )


def _tenant(name: str, one: TenantSum) -> admission_pb.TenantReport:
    return admission_pb.TenantReport(
        tenant_id=name, calls=one.calls, errors=one.errors, slow=one.slow, cost_micros=one.cost_micros
    )


def told_of(response: admission_pb.ReportResponse) -> Told:
    """Return an answer as plain values."""
    budgets = {
        one.tenant_id: Budget(
            # A later version may know more states; then the spent part tells what this one needs.
            _STATES.get(one.state, Spending.SPENT if one.used_part >= 1 else Spending.WARNED),
            one.used_part,
            one.reset_time.seconds + one.reset_time.nanos / 1e9 if one.HasField("reset_time") else 0.0,
        )
        for one in response.budgets
        if one.state != admission_pb.BUDGET_STATE_UNSPECIFIED
    }
    return Told(
        levels={one.tier: one.level for one in response.levels},
        budgets=budgets,
        valid_s=response.valid_duration.seconds + response.valid_duration.nanos / 1e9,
    )
