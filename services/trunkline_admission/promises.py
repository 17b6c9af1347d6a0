"""Composition of reports, levels, budgets and promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_admission.budget_states import BudgetStates
from trunkline_admission.budgets import Budgets
from trunkline_admission.cost_forwarder import CostForwarder, Send
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.levels_answer import LevelsAnswer
from trunkline_admission.month_keeper import MonthKeeper
from trunkline_admission.objectives_answer import ObjectivesAnswer
from trunkline_admission.promise_store import PromiseStore, StoreClock
from trunkline_admission.quota import QuotaAuthority
from trunkline_admission.report_desk import ReportDesk
from trunkline_admission.report_queue import ReportQueue
from trunkline_admission.scripting import ScriptRunner
from trunkline_admission.windows import ReportWindows
from trunkline_map.source import MapSource
from trunkline_mesh.background import background
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.calls import Metadata, call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.request import AUTHORIZATION_KEY
from trunkline_tiers import TierFile

SEND_TIMEOUT_S: Final = 2.0
"""Of a report of costs to another region."""


@dataclass(frozen=True, slots=True)
class Promises:
    """What the servicers serve."""

    desk: ReportDesk
    levels: LevelsAnswer
    objectives: ObjectivesAnswer
    store: PromiseStore
    budgets: Budgets

    def with_budgets(self, quotas: QuotaAuthority) -> BudgetStates:
        """Return `quotas` with tenants' budgets among the states."""
        return BudgetStates(quotas, self.store, self.budgets)


class GuardedScripts:
    """Scripts behind a breaker, so that a store that is away costs nobody its timeout each time."""

    def __init__(self, scripts: ScriptRunner, breaker: Breaker) -> None:
        """Run `scripts` while `breaker` lets them through."""
        self._scripts = scripts
        self._breaker = breaker

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As `ScriptRunner.run`; raises CircuitOpen while the breaker rests."""
        return await self._breaker.call(lambda: self._scripts.run(script, keys, args))


@asynccontextmanager
async def open_promises(
    scripts: ScriptRunner,
    breaker: Breaker,
    *,
    source: MapSource,
    tiers: TierFile,
    region: str,
    key_prefix: str,
    send: Send | None = None,
) -> AsyncIterator[Promises]:
    """Open what reports, levels and promises need; its background work ends with the context.

    `scripts` runs this package's scripts in the region's store, guarded by a `breaker` of their own. `send` reaches
    other regions' admission services (see `sender`); without it each region keeps its own part of the budgets.
    """
    clock, windows, budgets = StoreClock(), ReportWindows(), Budgets()
    store = PromiseStore(GuardedScripts(scripts, breaker), key_prefix, clock)
    keeper = LevelKeeper(tiers, store, windows)
    costs = None if send is None else CostForwarder(send, budgets)
    desk = ReportDesk(source, tiers, region, keeper, windows, budgets, clock, costs)
    queue = ReportQueue(store, desk.counted)
    desk.bind(queue)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(keeper.run()))
        await stack.enter_async_context(background(queue.run()))
        await stack.enter_async_context(background(MonthKeeper(store, budgets.sums).run()))
        if costs is not None:
            await stack.enter_async_context(background(costs.run()))
        objectives = ObjectivesAnswer(store, tiers, source, region)
        yield Promises(desk, LevelsAnswer(keeper), objectives, store, budgets)


def sender(channels: ChannelPool, source: MapSource, token: ServiceToken) -> Send:
    """Return what sends reports to the admission services that the map names, with this service's own credential."""

    async def send(region_id: str, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        region = source.snapshot.region(region_id)
        if region is None or not region.admission_endpoints:
            raise BackendUnavailable
        channel: grpc.aio.Channel = channels.get(",".join(region.admission_endpoints))
        metadata: Metadata = ((AUTHORIZATION_KEY, token.header()),)
        method = admission_grpc.AdmissionServiceStub(channel).Report
        return await call(method, request, deadline=Deadline.after(SEND_TIMEOUT_S), metadata=metadata)

    return send
