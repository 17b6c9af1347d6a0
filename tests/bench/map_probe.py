"""Changing the map through the control role and reading it at once through routers, with and without the token."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, Final, NamedTuple

import grpc

from tests.bench.map_seed import REGIONS, SPACE
from tests.bench.map_world import Targets
from trunkline.control.v1 import collection_map_service_pb2 as control_pb
from trunkline.control.v1 import collection_map_service_pb2_grpc as control_grpc
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_map.token import decode

COLLECTION: Final = "proof"
TIMEOUT_S: Final = 10.0
TEXT: Final = "where does this go?"
OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


class Change(NamedTuple):
    """A change that was made."""

    tenant: str
    exists: bool
    """Whether the tenant has the collection now."""
    token: bytes
    began_s: float
    answered_s: float


@dataclass
class Seen:
    """What was read after the changes."""

    changes: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Calls that were neither answered nor refused for the collection's absence, by what was said."""
    token_reads: int = 0
    token_stale: int = 0
    plain_reads: int = 0
    no_token_stale: int = 0
    visible_ms: list[float] = field(default_factory=list)
    """From the start of the change's call until a router answered with the change in it."""
    after_answer_ms: list[float] = field(default_factory=list)
    """The same from the control role's answer."""

    def note(self, exc: grpc.aio.AioRpcError) -> None:
        """Count a failure."""
        self.failures[f"{exc.code().name}: {exc.details()}"] += 1


class Prober:
    """Changes one collection of each tenant in turn, and reads what became of it."""

    def __init__(self, targets: Targets, control: Any, routers: list[Any]) -> None:
        """Use stubs on channels that the caller closes."""
        self._targets = targets
        self._control = control
        self._routers = routers
        self._turn: Iterator[str] = cycle(targets.tenants)
        self._existing: set[str] = set()

    async def change(self) -> Change:
        """Add or remove the next tenant's collection. Raises AioRpcError."""
        tenant = next(self._turn)
        exists = tenant not in self._existing
        metadata = _as(self._targets.operator)
        began_s = time.perf_counter()
        if exists:
            put = control_pb.PutCollectionRequest(collection=_collection(tenant))
            answer = await self._control.PutCollection(put, metadata=metadata, timeout=TIMEOUT_S)
            self._existing.add(tenant)
        else:
            gone = control_pb.DeleteCollectionRequest(tenant_id=tenant, collection_id=COLLECTION)
            answer = await self._control.DeleteCollection(gone, metadata=metadata, timeout=TIMEOUT_S)
            self._existing.discard(tenant)
        return Change(tenant, exists, answer.map_token, began_s, time.perf_counter())

    async def shows(self, router: int, change: Change, token: bytes = b"") -> bool:
        """Ask a router where the collection is; return True if the answer is after the change. Raises AioRpcError."""
        request = routing_pb.RouteRequest(text=TEXT, collections=[COLLECTION], map_token=token)
        metadata = _as(self._targets.tenants[change.tenant])
        try:
            answer = await self._routers[router].Route(request, metadata=metadata, timeout=TIMEOUT_S)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return not change.exists
        newer = decode(answer.trail.map.map_token).revision >= decode(change.token).revision
        return change.exists and (newer or not token)

    async def load(self, number: int) -> None:
        """Ask one of the routers for one of the seeded collections: what the map's readers do all day."""
        tenant = list(self._targets.tenants)[number % len(self._targets.tenants)]
        request = routing_pb.RouteRequest(text=TEXT, collections=[f"collection-{number % 10:02d}"])
        metadata = _as(self._targets.tenants[tenant])
        await self._routers[number % len(self._routers)].Route(request, metadata=metadata, timeout=TIMEOUT_S)

    async def step(self, seen: Seen, *, plain: bool) -> None:
        """Make one change and read it at every router with its token; with `plain`, at the last one without it, too."""
        try:
            change = await self.change()
            seen.changes += 1
            reads = [self._read(seen, router, change) for router in range(len(self._routers))]
            if plain:
                reads.append(self._read_plainly(seen, change))
            await asyncio.gather(*reads)
        except grpc.aio.AioRpcError as exc:
            seen.note(exc)

    async def _read(self, seen: Seen, router: int, change: Change) -> None:
        fresh = await self.shows(router, change, change.token)
        now_s = time.perf_counter()
        seen.token_reads += 1
        seen.token_stale += not fresh
        seen.visible_ms.append((now_s - change.began_s) * 1000)
        seen.after_answer_ms.append((now_s - change.answered_s) * 1000)

    async def _read_plainly(self, seen: Seen, change: Change) -> None:
        fresh = await self.shows(len(self._routers) - 1, change)
        seen.plain_reads += 1
        seen.no_token_stale += not fresh


@asynccontextmanager
async def open_prober(targets: Targets) -> AsyncIterator[Prober]:
    """Connect to the control role and the routers."""
    async with AsyncExitStack() as stack:

        async def channel(target: str) -> grpc.aio.Channel:
            return await stack.enter_async_context(grpc.aio.insecure_channel(target, options=OPTIONS))

        control = control_grpc.CollectionMapServiceStub(await channel(targets.control))
        routers = [routing_grpc.RoutingServiceStub(await channel(target)) for target in targets.routers]
        yield Prober(targets, control, routers)


def _as(credential: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {credential}"),)


def _collection(tenant: str) -> entries_pb.Collection:
    return entries_pb.Collection(
        tenant_id=tenant, collection_id=COLLECTION, space_id=SPACE.space_id, placement=REGIONS[:2]
    )
