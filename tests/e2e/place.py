"""The stack of three regions as tests see it: who asks, whom, and what is taken away from it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.e2e import world
from tests.integration.mesh.caller import Answer, Caller

from trunkline_client import ControlClient, RouterAddress, SearchResult, TrunklineClient, TrunklineError
from trunkline_client.usage import UsageClient
from trunkline_local import Layout, LocalStack, ProcessRecord, Service, StackSpec, marked_processes, open_stack
from trunkline_local.readiness import eventually
from trunkline_local.seeding import seed_map

T = TypeVar("T")

LONG_S: Final = 9.0
"""A deadline below the cap of every method, long enough for a busy machine."""
RERANK_MIN_S: Final = 1.0
"""With less than this left the stack's routers leave reranking out: far above what scheduling can take away."""
POLL_S: Final = 0.1


@dataclass(frozen=True)
class Place:
    """A running stack of three regions with the world of `tests.e2e.world`."""

    stack: LocalStack
    map_token: bytes
    """Covers everything that was seeded."""

    def token(self, tenant: str = world.ACME, *, roles: Sequence[str] = ()) -> str:
        """Mint a tenant's credential."""
        return self.stack.identity.mint("somebody", tenant=tenant, roles=roles)

    def operator(self) -> str:
        """Mint an operator's credential."""
        return self.stack.identity.mint("operator", roles=("operator", "admin"))

    def endpoint(self, region_id: str, service: Service = Service.ROUTING) -> str:
        """Return `host:port` of a region's service."""
        region = self.stack.state.region(region_id)
        assert region is not None
        return region.endpoints[service]

    def client(self, *regions: str, tenant: str = world.ACME) -> TrunklineClient:
        """Return a client of the routers of these regions, in this order."""
        routers = [RouterAddress(region, self.endpoint(region)) for region in regions or world.REGIONS]
        return TrunklineClient(routers, self.token(tenant))

    def control(self) -> ControlClient:
        """Return a client of the control role with an operator's credential."""
        return ControlClient([self.stack.state.control_endpoint], self.operator())

    def usage(self, region_id: str) -> UsageClient:
        """Return a client of the read side of a region's admission, as operator."""
        return UsageClient([self.endpoint(region_id, Service.ADMISSION)], self.operator())

    async def home_of(self, tenant_id: str) -> str:
        """Return the region that keeps a tenant's quota."""
        async with self.usage(world.US) as usage:
            return (await usage.limits(tenant_id)).home_region

    async def raw(self, endpoint: str, path: str, payload: bytes, *, token: str, shape: str = "Unary") -> Answer:
        """Send bytes to a method and tell what came back."""
        async with grpc.aio.insecure_channel(endpoint) as channel:
            return await Caller(channel).call(path=path, raw=payload, token=token, shape=shape, timeout_s=LONG_S)

    def record(self, name: str) -> ProcessRecord:
        """Return what is known of a process, for example `eu-west/valkey`."""
        return next(each for each in self.stack.state.processes if each.name == name)


async def until(
    attempt: Callable[[], Awaitable[T]],
    accepted: Callable[[T], bool],
    *,
    within_s: float = 90.0,
    every_s: float = POLL_S,
) -> T:
    """Repeat until the outcome is accepted; refusals count as not accepted. Fails with the last outcome."""
    last: object = "nothing"
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    last = result = await attempt()
                    if accepted(result):
                        return result
                except TrunklineError as exc:
                    last = exc
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise AssertionError(f"not within {within_s:g} s; the last outcome was {last!r}") from None


async def undisturbed(attempt: Callable[[], Awaitable[SearchResult]]) -> SearchResult:
    """Search until nothing is degraded: on a busy machine a stage may now and then miss its budget."""
    return await until(attempt, lambda result: not result.trail.degradations)


async def health(endpoint: str, name: str = "") -> bool:
    """Tell whether a service, or one of its dependencies, says SERVING."""
    async with grpc.aio.insecure_channel(endpoint) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer: health_pb2.HealthCheckResponse = await stub.Check(
                health_pb2.HealthCheckRequest(service=name), timeout=LONG_S
            )
        except grpc.aio.AioRpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def open_place(run_dir: Path) -> AsyncIterator[Place]:
    """Start the stack, write the map and the documents, and wait until everything serves."""
    talkative = {"LOG_LEVEL": "debug", "ACCESS_LOG_OK_EVERY": "1"}  # so that a leak into the logs would show
    settings = {name: dict(talkative) for name in (*map(str, Service), "control")}
    settings["routing"]["RERANK_MIN_S"] = str(RERANK_MIN_S)
    settings["control"]["CHANGE_FREEZE"] = "false"  # regions are lost on purpose, and the map changes between
    spec = StackSpec(run_dir=run_dir, layout=Layout.PER_REGION, settings=settings)
    async with open_stack(spec) as stack:
        operator = stack.identity.mint("operator", roles=("operator", "admin"))
        map_token = await seed_map(
            stack.state,
            operator,
            tenants=world.TENANTS,
            collections=world.COLLECTIONS,
            policies={world.ACME: world.ACME_POLICY},
        )
        place = Place(stack, map_token)
        assert await stack.wait_serving(within_s=90.0)
        for region in world.REGIONS:
            leased = partial(health, place.endpoint(region), "dependency/admission")
            assert await eventually(leased, within_s=30.0)
        await _write_documents(place)
        yield place
        run_id = stack.state.run_id
    assert marked_processes(run_id) == []


async def _write_documents(place: Place) -> None:
    async with place.client(world.EU) as acme, place.client(world.EU, tenant=world.GLOBEX) as globex:
        for collection, documents in world.DOCUMENTS.items():
            write = partial(acme.upsert, collection, documents, map_token=place.map_token, deadline_s=30.0)
            await until(write, lambda _: True)
        plan = [world.GLOBEX_DOCUMENT]
        await until(partial(globex.upsert, "notes", plan, map_token=place.map_token), lambda _: True)
