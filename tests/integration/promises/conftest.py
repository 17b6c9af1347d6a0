"""Reports, levels and promises over a real Valkey, with a map that the test holds in its hand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import Budgets
from trunkline_admission.level_keeper import LevelKeeper
from trunkline_admission.objectives_answer import ObjectivesAnswer
from trunkline_admission.promise_store import PromiseStore, StoreClock
from trunkline_admission.redis_scripts import RedisScripts, open_redis
from trunkline_admission.report_desk import CostSink, ReportDesk
from trunkline_admission.report_queue import ReportQueue
from trunkline_admission.windows import ReportWindows
from trunkline_local.errors import BinaryMissingError
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.valkey import Valkey, start_valkey
from trunkline_map.entries import TenantEntry, TenantLimits
from trunkline_map.testing import StaticMap, region, static_map, tenant
from trunkline_mesh.background import background
from trunkline_tiers import TierFile, default_tiers

QUICK = {"down_after_s": 1e-9, "up_after_s": 1e-9}
"""Levels that follow what is seen at once: how long they wait is a law of the pure rules."""


def quick_tiers() -> TierFile:
    """Return the default tiers with levels that turn at the second sight."""
    tiers = default_tiers()
    return tiers.model_copy(update={"levels": tiers.levels.model_copy(update=QUICK)})


def world() -> StaticMap:
    """Return a map of one region with three tenants, one of them with a budget of 1,000 micros."""
    spender = TenantEntry("spender", "pro", frozenset({"eu"}), limits=TenantLimits(budget_micros_per_month=1000))
    return static_map(
        region("eu-1", "eu", admission="127.0.0.1:1"),
        tenant("acme", "eu", tier="enterprise"),
        tenant("small", "eu", tier="free"),
        spender,
    )


@dataclass(frozen=True)
class Replica:
    """One replica of what takes reports; the test ticks its levels."""

    desk: ReportDesk
    keeper: LevelKeeper
    objectives: ObjectivesAnswer
    store: PromiseStore
    queue: ReportQueue
    budgets: Budgets
    source: StaticMap


Serve = Callable[..., Awaitable[Replica]]


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def key_prefix() -> str:
    """Return a prefix that no other test uses."""
    return f"test:{secrets.token_hex(6)}"


@pytest.fixture
def replica(opened: AsyncExitStack, key_prefix: str) -> Serve:
    """Open a replica over the store at a URL."""

    async def open_one(url: str, source: StaticMap | None = None, costs: CostSink | None = None) -> Replica:
        client = await opened.enter_async_context(open_redis(url, timeout_s=2.0, max_connections=4))
        clock, windows, budgets, tiers = StoreClock(), ReportWindows(), Budgets(), quick_tiers()
        store = PromiseStore(RedisScripts(client, timeout_s=2.0), key_prefix, clock)
        keeper, source = LevelKeeper(tiers, store, windows), source or world()
        desk = ReportDesk(source, tiers, "eu-1", keeper, windows, budgets, clock, costs)
        queue = ReportQueue(store, desk.counted)
        desk.bind(queue)
        await opened.enter_async_context(background(queue.run()))
        objectives = ObjectivesAnswer(store, tiers, source, "eu-1", clock=iter(range(0, 10**6, 60)).__next__)
        return Replica(desk, keeper, objectives, store, queue, budgets, source)

    return open_one


@pytest.fixture
async def own_valkey(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path_factory: pytest.TempPathFactory
) -> Valkey:
    """Start a Valkey of the test's own, which it may kill; the host stops what is left."""
    try:
        return await start_valkey(process_host, port_allocator, tmp_path_factory.mktemp("valkey"), name="promises")
    except BinaryMissingError as exc:
        pytest.skip(str(exc))


def report(
    sequence: int,
    *,
    router: str = "router-1",
    calls: int = 100,
    errors: int = 0,
    limit_errors: int = 0,
    utilisation: float = 0.1,
    tier: str = "pro",
    bucket: int = 10,
    tenants: tuple[admission_pb.TenantReport, ...] = (),
) -> admission_pb.ReportRequest:
    """Return a router's report of one tier, all of whose answers fell into one bucket."""
    counts = [0] * bucket + [calls]
    return admission_pb.ReportRequest(
        router=router,
        sequence=sequence,
        window=Duration(seconds=1),
        tiers=[
            admission_pb.TierReport(
                tier=tier,
                calls=calls,
                errors=errors,
                limit_errors=limit_errors,
                latency_counts=counts,
                utilisation=utilisation,
            )
        ],
        tenants=tenants,
    )


def spending(tenant_id: str, cost_micros: int, *, calls: int = 1, errors: int = 0) -> admission_pb.TenantReport:
    """Return one tenant's line."""
    return admission_pb.TenantReport(tenant_id=tenant_id, calls=calls, errors=errors, cost_micros=cost_micros)
