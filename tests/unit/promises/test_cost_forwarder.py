"""Costs of tenants whose budget another region keeps: told there once, whatever is repeated."""

from __future__ import annotations

from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission import cost_forwarder
from trunkline_admission.budgets import Budgets, BudgetState
from trunkline_admission.cost_forwarder import CostForwarder
from trunkline_admission.report_messages import MAX_TENANTS, parse_report
from trunkline_map.entries import TenantEntry, TenantLimits
from trunkline_mesh.errors import BackendUnavailable, FieldInvalid

NOW_S = 1_800_000_000.0
ENTRY = TenantEntry("acme", "pro", frozenset({"eu"}), limits=TenantLimits(budget_micros_per_month=100))


@dataclass
class Home:
    """A home region: counts each report once, as the desk does."""

    away: bool = False
    loses_answers: bool = False
    counted: dict[tuple[str, int], admission_pb.ReportRequest] = field(default_factory=dict)
    budgets: list[admission_pb.TenantBudget] = field(default_factory=list)

    async def __call__(self, region_id: str, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        if self.away:
            raise BackendUnavailable
        parse_report(request)
        self.counted.setdefault((request.router, request.sequence), request)
        if self.loses_answers:
            raise BackendUnavailable
        return admission_pb.ReportResponse(budgets=self.budgets)

    def total(self, tenant_id: str) -> int:
        """Return what was counted of a tenant."""
        rows = (row for request in self.counted.values() for row in request.tenants)
        return sum(row.cost_micros for row in rows if row.tenant_id == tenant_id)


async def test_costs_are_counted_once_though_answers_are_lost() -> None:
    """A report is repeated unchanged until it is acknowledged; what comes meanwhile follows it."""
    home = Home(loses_answers=True)
    costs = CostForwarder(home, Budgets())
    costs.add("eu-1", "acme", 5)
    await costs.forward()
    costs.add("eu-1", "acme", 7)
    await costs.forward()
    home.loses_answers = False
    await costs.forward()
    await costs.forward()

    assert home.total("acme") == 12
    assert len(home.counted) == 2


async def test_costs_wait_for_a_region_that_is_away() -> None:
    """Nothing is lost while it is."""
    home = Home(away=True)
    costs = CostForwarder(home, Budgets())
    for cost in (1, 2, 4):
        costs.add("eu-1", "acme", cost)
        await costs.forward()
    home.away = False
    await costs.forward()
    await costs.forward()

    assert home.total("acme") == 7


async def test_more_tenants_than_one_report_holds_go_in_several() -> None:
    """All of them in the end."""
    home = Home()
    costs = CostForwarder(home, Budgets())
    for index in range(MAX_TENANTS + 5):
        costs.add("eu-1", f"t{index}", 1)
    await costs.forward()
    await costs.forward()

    assert sum(len(request.tenants) for request in home.counted.values()) == MAX_TENANTS + 5


async def test_the_home_regions_budgets_hold_here() -> None:
    """Until it has nothing more to say of them."""
    told = admission_pb.TenantBudget(
        tenant_id="acme",
        state=admission_pb.BUDGET_STATE_SPENT,
        used_part=1.1,
        reset_time=Timestamp(seconds=int(NOW_S) + 1000),
    )
    home, budgets = Home(budgets=[told]), Budgets()
    costs = CostForwarder(home, budgets)
    costs.add("eu-1", "acme", 5)
    await costs.forward()
    assert [each.used_part for each in budgets.standing([ENTRY], NOW_S)] == [1.1]

    home.budgets = []
    costs.add("eu-1", "acme", 5)
    await costs.forward()
    assert budgets.standing([ENTRY], NOW_S) == []


async def test_a_later_versions_state_counts_by_its_spent_part() -> None:
    """Costs go on being told, and what is spent is spent, whatever the state is called."""
    ends = Timestamp(seconds=int(NOW_S) + 1000)
    later = admission_pb.BudgetState.ValueType(7)
    told = admission_pb.TenantBudget(tenant_id="acme", state=later, used_part=1.2, reset_time=ends)
    home, budgets = Home(budgets=[told]), Budgets()
    costs = CostForwarder(home, budgets)
    for _ in range(2):
        costs.add("eu-1", "acme", 5)
        await costs.forward()

    assert [each.state for each in budgets.standing([ENTRY], NOW_S)] == [BudgetState.SPENT]
    assert home.total("acme") == 10


async def test_a_refused_report_does_not_hold_up_the_next() -> None:
    """A home region that knows other bounds refuses it again and again; what follows is told all the same."""
    home = Home()
    refused = [FieldInvalid(), None]

    async def send(region_id: str, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        error = refused.pop(0)
        if error is not None:
            raise error
        return await home(region_id, request)

    costs = CostForwarder(send, Budgets())
    for cost in (5, 7):
        costs.add("eu-1", "acme", cost)
        await costs.forward()

    assert home.total("acme") == 7


async def test_what_waits_is_bounded() -> None:
    """Tenants beyond it are left to this region's own sum."""
    costs = CostForwarder(Home(away=True), Budgets())
    for index in range(cost_forwarder.MAX_WAITING + 100):
        costs.add("eu-1" if index % 2 else "us-1", f"t{index}", 1)

    assert sum(map(len, costs._waiting.values())) == cost_forwarder.MAX_WAITING
