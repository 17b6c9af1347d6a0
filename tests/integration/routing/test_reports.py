"""From a search to admission and back: reports over gRPC to what really takes them, over a real store."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import grpc
import pytest
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import EU, TENANT, FrontDoor

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_admission.budgets import Budgets
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.promise_store import PromiseStore, StoreClock
from trunkline_admission.redis_scripts import RedisScripts, open_redis
from trunkline_admission.report_desk import ReportDesk
from trunkline_admission.report_queue import ReportQueue
from trunkline_admission.windows import ReportWindows
from trunkline_map.entries import TenantLimits
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_routing.edge.region_report import RegionReporter
from trunkline_routing.edge.report_client import ReportClient
from trunkline_tiers import default_tiers

SERVICE = "trunkline.admission.v1.AdmissionService"
EMERGENCY = quota_pb.SERVICE_LEVEL_EMERGENCY
ROUNDS = 200
"""Reports that a test makes at most until it sees what it waits for."""
JUDGED_S = 0.05
"""Between two of them: admission does not judge again at once."""


@dataclass
class Reports:
    """Takes reports as admission does, and can be told to answer nothing."""

    desk: ReportDesk
    away: bool = False
    lost: int = 0
    credentials: list[str] = field(default_factory=list)

    async def report(
        self, request: admission_pb.ReportRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admission_pb.ReportResponse:
        self.credentials.extend(str(value) for key, value in context.invocation_metadata() or () if key == "credential")
        answer = await self.desk.take(request)
        if self.away:
            self.lost += 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return answer


@dataclass(frozen=True)
class Path:
    """A front door, and the way of its reports."""

    door: FrontDoor
    reporter: RegionReporter
    reports: Reports
    keeper: LevelKeeper

    async def report(self) -> None:
        """Report once, and have admission judge."""
        self.reporter.look()
        await self.reporter.report()
        await self.keeper.tick()


@asynccontextmanager
async def open_path(door: FrontDoor, url: str) -> AsyncIterator[Path]:
    """Serve reports of a front door over the store at `url`; levels turn at once."""
    tiers = default_tiers()
    quick = tiers.levels.model_copy(update={"down_after_s": 1e-9, "up_after_s": 1e-9})
    tiers = tiers.model_copy(update={"levels": quick})
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_redis(url, timeout_s=2.0, max_connections=4))
        clock, windows, budgets = StoreClock(), ReportWindows(), Budgets()
        store = PromiseStore(RedisScripts(client, timeout_s=2.0), f"test:{secrets.token_hex(6)}", clock)
        keeper = LevelKeeper(tiers, store, windows)
        desk = ReportDesk(door.map, tiers, EU, keeper, windows, budgets, clock)
        queue = ReportQueue(store, desk.counted)
        desk.bind(queue)
        await stack.enter_async_context(background(queue.run()))
        reports, server = Reports(desk), grpc.aio.server()
        handler = grpc.unary_unary_rpc_method_handler(
            reports.report,
            request_deserializer=admission_pb.ReportRequest.FromString,
            response_serializer=admission_pb.ReportResponse.SerializeToString,
        )
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {"Report": handler}),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        stack.push_async_callback(server.stop, 0)
        channels = await stack.enter_async_context(ChannelPool())
        send = ReportClient(channels, f"127.0.0.1:{port}", lambda: (("credential", "the service's own"),))
        books = door.books
        reporter = RegionReporter(send, books.sums, books.standing, books.utilisation, every_s=1.0)
        yield Path(door, reporter, reports, keeper)


def told(trail: trail_pb.Trail) -> Sequence[tuple[str, str]]:
    """Return degradations with their subjects."""
    return [
        (trail_pb.DegradationReason.Name(one.reason).removeprefix("DEGRADATION_REASON_"), one.subject)
        for one in trail.degradations
    ]


async def test_a_flood_of_failures_brings_the_tiers_own_level(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """The next answers of that tier do without models and say so; a higher one is not touched."""
    door = await fresh()
    async with open_path(door, valkey_url) as path:
        assert (await door.search()).response.trail.level == quota_pb.SERVICE_LEVEL_NORMAL
        for _ in range(ROUNDS):
            door.books.sums.shed("pro", 100)
            await path.report()
            if door.books.standing.level_of("pro") == EMERGENCY:
                break
            await asyncio.sleep(JUDGED_S)
        trail = (await door.search("what nobody has asked before", collections=["both"])).response.trail
        assert trail.level == EMERGENCY
        assert ("LEVEL", "embedding") in told(trail)
        assert door.books.standing.level_of("enterprise") == quota_pb.SERVICE_LEVEL_NORMAL
        assert set(path.reports.credentials) == {"the service's own"}


async def test_what_searches_cost_spends_the_budget(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """Then only free stages run, until the budget is raised."""
    door = await fresh()
    tenant = door.map.snapshot.tenant(TENANT)
    assert tenant is not None
    door.map.put(replace(tenant, limits=TenantLimits(budget_micros_per_month=100)))
    async with open_path(door, valkey_url) as path:
        first = (await door.search("a leak somewhere")).response.trail
        assert first.cost.charged_micros >= 100
        for _ in range(ROUNDS):
            await path.report()
            if door.books.standing.budget_of(TENANT) is not None:
                break
            await asyncio.sleep(JUDGED_S)
        trail = (await door.search("a leak somewhere")).response.trail
        assert ("BUDGET_SPENT", "rerank") in told(trail)
        assert [note.unit for note in trail.limit_notes] == [quota_pb.LIMIT_UNIT_MICROS]
        door.map.put(replace(tenant, limits=TenantLimits(budget_micros_per_month=10**9)))
        for _ in range(ROUNDS):
            await door.search("a leak somewhere")
            await path.report()
            if door.books.standing.budget_of(TENANT) is None:
                break
            await asyncio.sleep(JUDGED_S)
        assert told((await door.search("a leak somewhere")).response.trail) == []


async def test_lost_answers_count_nothing_twice(fresh: OpenFrontDoor, valkey_url: str) -> None:
    """A report whose answer was lost is sent again as it was; health tells meanwhile."""
    door = await fresh()
    async with open_path(door, valkey_url) as path:
        await door.search()
        path.reports.away = True
        for _ in range(3):
            await path.report()
            await door.search()
        assert not path.reporter.healthy
        path.reports.away = False
        await path.report()
        await path.report()
        assert path.reporter.healthy
        assert path.reports.lost == 3
        assert path.keeper.routers == 1


@pytest.mark.parametrize("stage", [trail_pb.STAGE_NAME_RERANK])
async def test_a_switch_holds_for_the_next_search(fresh: OpenFrontDoor, stage: trail_pb.StageName.ValueType) -> None:
    """As soon as the map has it."""
    door = await fresh()
    region = door.map.snapshot.region(EU)
    assert region is not None
    door.map.put(replace(region, disabled_stages=frozenset({int(stage)})))
    trail = (await door.search()).response.trail
    assert ("STAGE_DISABLED", "rerank") in told(trail)
    door.map.put(region)
    assert told((await door.search()).response.trail) == []
