"""The stack that loses its etcd piece by piece: regions, collections that move between them, and who reads them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from tests.chaos.etcd_calls import ControlStubs, RefusedError, RouterStubs
from tests.chaos.etcd_changes import TENANT
from tests.chaos.etcd_proxy import EtcdProxy
from tests.chaos.load_asker import Asker
from tests.chaos.load_spec import Question, Stream
from tests.chaos.stack_world import ROOM
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import Document, TrunklineClient, TrunklineError
from trunkline_local import (
    DEFAULT_REGIONS,
    Layout,
    LocalStack,
    Service,
    StackSpec,
    marked_processes,
    open_stack,
)
from trunkline_local.seeding import CollectionSeed, TenantSeed, seed_map

MEMBERS: Final = 3
START_WITHIN_S: Final = 180.0
DEADLINE_S: Final = 2.0
"""What callers give a search: the client's default."""
TOKEN_LIFETIME_S: Final = 24 * 3600.0
WITH_TOKEN: Final = "token-"
"""Streams of this name send a map token along."""


@dataclass(frozen=True)
class World:
    """A running stack. Routers and retrieval reach etcd through proxies, everybody else directly."""

    local: LocalStack
    router_proxies: Sequence[EtcdProxy]
    retrieval_proxies: Sequence[EtcdProxy]
    regions: Sequence[str]
    collections: Sequence[str]
    control: ControlStubs
    routers: dict[str, RouterStubs]

    @property
    def proxies(self) -> Sequence[EtcdProxy]:
        """All of them."""
        return (*self.router_proxies, *self.retrieval_proxies)

    @property
    def etcd(self) -> Sequence[str]:
        """`host:port` of every member."""
        return self.local.state.etcd_endpoints

    async def entries(self) -> Sequence[entries_pb.Collection]:
        """Return the collections as the map has them."""
        request = collections_pb.ListCollectionsRequest(tenant_id=TENANT, page_size=500)
        response = await self.control(self.control.collections.ListCollections, request)
        return list(response.collections)

    async def region_by(self, router: str, collection: str, map_token: bytes, *, timeout_s: float) -> str:
        """Return where a router would look for a collection first; raise RefusedError."""
        request = routing_pb.RouteRequest(text="x", collections=[collection], map_token=map_token)
        response = await self.routers[router].route(request, timeout_s=timeout_s)
        return str(response.trail.collections[0].attempts[0].region)

    async def caught_up(self, map_token: bytes, *, within_s: float) -> bool:
        """Wait until every router's map reflects a token; False if one does not in time."""
        give_up_s = time.monotonic() + within_s
        for router in self.regions:
            while True:
                try:
                    await self.region_by(router, self.collections[0], map_token, timeout_s=1.0)
                    break
                except RefusedError:
                    if time.monotonic() > give_up_s:
                        return False
                    await asyncio.sleep(0.02)
        return True

    def streams(self, rps: float) -> tuple[Stream, ...]:
        """Return two callers of each router, which ask nobody else: half of all searches send a map token along."""
        credential = self.local.identity.mint("load", tenant=TENANT, lifetime_s=TOKEN_LIFETIME_S)
        return tuple(
            Stream(
                name=f"{kind}{region}",
                tenant=TENANT,
                token=credential,
                routers=(f"{region}={_router(self.local, region)}",),
                rps=rps / (2 * len(self.regions)),
                questions=tuple(_question(collection) for collection in self.collections),
                regions=frozenset(self.regions),
                owner="moving-",
            )
            for region in self.regions
            for kind in ("plain-", WITH_TOKEN)
        )

    async def rehearse(self) -> None:
        """Ask everything once until the answers are right, so that what is wrong later is the chaos's doing."""
        give_up_s = time.monotonic() + START_WITHIN_S
        async with AsyncExitStack() as stack:
            for stream in self.streams(1.0):
                asker = await stack.enter_async_context(Asker(stream, 2 * DEADLINE_S))
                for question in stream.questions:
                    while not (answer := await asker.ask(question, time.monotonic())).good:
                        if time.monotonic() > give_up_s:
                            raise TimeoutError(f"the stack does not answer as it should: {answer}")
                        await asyncio.sleep(0.1)


@asynccontextmanager
async def open_world(run_dir: Path, *, regions: int, collections: int, rng: random.Random) -> AsyncIterator[World]:
    """Start everything, write the map and the documents, and wait until all of it serves. Leaves no process behind.

    Every collection's document is in every region from the start, so a search finds it wherever the map says it is.
    """
    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(EtcdProxy(rng)) for _ in range(2 * MEMBERS)]
        for_routers, for_retrieval = proxies[:MEMBERS], proxies[MEMBERS:]
        spec = StackSpec(
            run_dir=run_dir,
            regions=DEFAULT_REGIONS[:regions],
            layout=Layout.PER_REGION,
            learners=False,
            etcd_members=MEMBERS,
            settings={
                Service.ROUTING: {"ETCD_ENDPOINTS": _addresses(for_routers)},
                Service.RETRIEVAL: {"ETCD_ENDPOINTS": _addresses(for_retrieval)},
            },
        )
        local = await stack.enter_async_context(_clean_stack(spec))
        for proxy, endpoint in zip(proxies, 2 * local.state.etcd_endpoints, strict=True):
            proxy.aim(endpoint)
        operator = local.identity.mint("operator", roles=("operator", "admin"), lifetime_s=TOKEN_LIFETIME_S)
        member = local.identity.mint("reader", tenant=TENANT, lifetime_s=TOKEN_LIFETIME_S)
        names = [region.region_id for region in spec.regions]
        control = await stack.enter_async_context(grpc.aio.insecure_channel(local.state.control_endpoint))
        routers = {
            name: RouterStubs(await stack.enter_async_context(grpc.aio.insecure_channel(_router(local, name))), member)
            for name in names
        }
        moving = [f"moving-{number}" for number in range(collections)]
        world = World(local, for_routers, for_retrieval, names, moving, ControlStubs(control, operator), routers)
        await _furnish(world, operator, member)
        yield world


async def _furnish(world: World, operator: str, member: str) -> None:
    tenant = TenantSeed(TENANT, "enterprise", (), ROOM, ROOM)
    seeds = [CollectionSeed(TENANT, name, world.regions) for name in world.collections]
    map_token = await seed_map(world.local.state, operator, tenants=[tenant], collections=seeds)
    if not await world.local.wait_serving(within_s=START_WITHIN_S):
        raise TimeoutError(f"the stack did not serve within {START_WITHIN_S:g} s")
    give_up_s = time.monotonic() + START_WITHIN_S
    first = world.regions[0]
    async with TrunklineClient([f"{first}={_router(world.local, first)}"], member) as client:
        for name in world.collections:
            while True:
                try:
                    await client.upsert(name, [_document(name)], map_token=map_token, deadline_s=30.0)
                    break
                except TrunklineError:  # not ready yet: every region must take it
                    if time.monotonic() > give_up_s:
                        raise
                    await asyncio.sleep(0.1)


def _addresses(proxies: Sequence[EtcdProxy]) -> str:
    return ",".join(proxy.address for proxy in proxies)


def _document(collection: str) -> Document:
    return Document(f"{collection}-lighthouse", f"A lighthouse warns ships of rocks at night, says {collection}.")


def _question(collection: str) -> Question:
    return Question(
        name=collection, text="What warns ships of rocks?", collections=(collection,), top=f"{collection}-lighthouse"
    )


def _router(local: LocalStack, region_id: str) -> str:
    region = local.state.region(region_id)
    assert region is not None
    return region.endpoints[Service.ROUTING]


@asynccontextmanager
async def _clean_stack(spec: StackSpec) -> AsyncIterator[LocalStack]:
    async with open_stack(spec) as local:
        run_id = local.state.run_id
        yield local
    if left := marked_processes(run_id):
        raise RuntimeError(f"processes of the stack are left: {left}")
