"""What tenants have spent here, told to the region that keeps their budget: one budget holds over all regions."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import Budget, Budgets, BudgetState
from trunkline_admission.report_desk import COSTS_PREFIX
from trunkline_admission.report_messages import MAX_TENANTS
from trunkline_mesh.background import goes_on
from trunkline_mesh.errors import DomainError, FieldInvalid
from trunkline_mesh.logs import get_logger

FORWARD_S: Final = 5.0
"""Costs are told so often."""
MAX_WAITING: Final = 20_000
"""Tenants whose costs wait, over all regions; beyond it they are not told, and this region's own sum stands."""

_SPAN: Final = Duration(seconds=5)

Send = Callable[[str, admission_pb.ReportRequest], Awaitable[admission_pb.ReportResponse]]
"""Sends a report to a region's admission service. Raises DomainError; bounds its time itself."""

_STATES: Final[Mapping[int, BudgetState]] = {state.value: state for state in BudgetState}

_LOG: Final = get_logger("admission.costs")


class CostForwarder:
    """Adds up costs by home region and tenant, and reports them there as a router would: once, whatever is repeated.

    What waits is lost with this replica: at most FORWARD_S of costs, and longer while the home region is away.
    """

    def __init__(self, send: Send, budgets: Budgets) -> None:
        """Tell what home regions answer to `budgets`."""
        self._send = send
        self._budgets = budgets
        self._waiting: dict[str, dict[str, int]] = {}
        self._under_way: dict[str, admission_pb.ReportRequest] = {}
        self._name = COSTS_PREFIX + secrets.token_hex(12)
        self._sequence = 0

    def add(self, region_id: str, tenant_id: str, cost_micros: int) -> None:
        """Take a cost of a tenant whose home is `region_id`."""
        costs = self._waiting.setdefault(region_id, {})
        if tenant_id not in costs and sum(map(len, self._waiting.values())) >= MAX_WAITING:
            return
        costs[tenant_id] = costs.get(tenant_id, 0) + cost_micros

    async def run(self) -> None:
        """Tell home regions every FORWARD_S seconds until cancelled."""
        while True:
            await asyncio.sleep(FORWARD_S)
            with goes_on("costs"):
                await self.forward()

    async def forward(self) -> None:
        """Tell each home region once what waits for it; what it did not acknowledge is told again, unchanged."""
        regions = sorted({*self._waiting, *self._under_way})
        await asyncio.gather(*(self._forward_to(region_id) for region_id in regions))

    async def _forward_to(self, region_id: str) -> None:
        request = self._under_way.get(region_id)
        if request is None:
            request = self._under_way[region_id] = self._request(self._waiting.pop(region_id, {}), region_id)
        try:
            answer = await self._send(region_id, request)
        except FieldInvalid:  # sent again it would be refused again, and hold up all that comes behind it
            _LOG.warning("costs were refused by their home region", dependency=region_id)
            del self._under_way[region_id]
            return
        except DomainError as exc:
            _LOG.info("costs wait for their home region", dependency=region_id, error_type=type(exc).__name__)
            return
        del self._under_way[region_id]
        self._learn(request, {told.tenant_id: told for told in answer.budgets})

    def _request(self, costs: Mapping[str, int], region_id: str) -> admission_pb.ReportRequest:
        """Return the next report; what does not fit into it goes on waiting."""
        told, rest = list(costs.items())[:MAX_TENANTS], list(costs.items())[MAX_TENANTS:]
        if rest:
            self._waiting[region_id] = dict(rest)
        self._sequence += 1
        return admission_pb.ReportRequest(
            router=self._name,
            sequence=self._sequence,
            window=_SPAN,
            tenants=[admission_pb.TenantReport(tenant_id=name, cost_micros=micros) for name, micros in told],
        )

    def _learn(self, request: admission_pb.ReportRequest, told: Mapping[str, admission_pb.TenantBudget]) -> None:
        for name in _tenants(request):
            budget = told.get(name)
            if budget is None:
                self._budgets.forget_home(name)
            else:
                # A later version may know more states; what counts here is the spent part.
                state = _STATES.get(budget.state, BudgetState.SPENT if budget.used_part >= 1 else BudgetState.WARNED)
                resets_at_s = budget.reset_time.ToMicroseconds() / 1e6
                self._budgets.learn_from_home(Budget(name, state, budget.used_part, resets_at_s))


def _tenants(request: admission_pb.ReportRequest) -> Iterable[str]:
    return (row.tenant_id for row in request.tenants)
