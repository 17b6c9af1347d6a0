"""The drill of docs/operations.md, "Backup and restore": the map's store is lost and comes back from a backup.

Real etcd of three members, a real control role, and a real router that keeps running and reaches etcd through proxies.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from tests.chaos.etcd_calls import ControlStubs, RefusedError, RouterStubs
from tests.chaos.etcd_cluster import EtcdCluster, running_cluster
from tests.chaos.etcd_services import JURISDICTION, REGION, running_services
from tests.fixtures.proxy import TcpProxy

from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import map_service_pb2 as map_pb
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import space_service_pb2 as spaces_pb
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_map.backup import save_snapshot
from trunkline_map.token import decode

OTHER: Final = "us-west"
TENANT: Final = "acme"
WITHIN_S: Final = 30.0


@dataclass
class Drill:
    """All that the drill touches."""

    cluster: EtcdCluster
    proxies: Sequence[TcpProxy]
    control: ControlStubs
    router: RouterStubs
    snapshot: Path

    async def put(self, collection_id: str, *placement: str, revision: int = 0) -> Any:
        """Write a collection; return the answer with its revision and token."""
        entry = entries_pb.Collection(
            tenant_id=TENANT,
            collection_id=collection_id,
            space_id="minilm",
            placement=placement,
            preference=entries_pb.REGION_PREFERENCE_PLACEMENT,
            revision=revision,
        )
        request = collections_pb.PutCollectionRequest(collection=entry)
        return await self.control(self.control.collections.PutCollection, request)

    async def placement(self, collection_id: str, map_token: bytes = b"", timeout_s: float = 2.0) -> list[str]:
        """Return where the router would look for a collection, in its order."""
        request = routing_pb.RouteRequest(text="x", collections=[collection_id], map_token=map_token)
        response = await self.router.route(request, timeout_s=timeout_s)
        # A region that does not answer (none does here) stands there twice: where it was put off, and at the end.
        return list(dict.fromkeys(attempt.region for attempt in response.trail.collections[0].attempts))

    async def page(self, token: str = "") -> Any:
        """Return a page of one collection."""
        request = collections_pb.ListCollectionsRequest(tenant_id=TENANT, page_size=1, page_token=token)
        return await self.control(self.control.collections.ListCollections, request)

    async def renew_epoch(self) -> bytes:
        """As `trunkline map renew-epoch` does; the control role may need a moment to reach etcd."""
        response = await until(lambda: self.control(self.control.map.RenewEpoch, map_pb.RenewEpochRequest()))
        return bytes(response.map_token)

    def cut_off(self) -> None:
        """Keep the router away from etcd."""
        for proxy in self.proxies:
            proxy.faults.refuse = True

    def connect(self) -> None:
        """Let the router reach etcd again."""
        for proxy in self.proxies:
            proxy.heal()


def _answered(seen: object) -> bool:
    return not isinstance(seen, str)


async def until(attempt: Callable[[], Awaitable[Any]], accepted: Callable[[Any], bool] = _answered) -> Any:
    """Repeat until what comes, an answer or the reason of a refusal as text, is accepted: by default any answer."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                seen = await attempt()
            except RefusedError as exc:
                seen = exc.reason
            if accepted(seen):
                return seen
            await asyncio.sleep(0.05)


async def reason_of(call: Awaitable[Any]) -> str:
    """Return the reason for which a call is refused."""
    with pytest.raises(RefusedError) as refused:
        await call
    return refused.value.reason


@asynccontextmanager
async def prepared(folder: Path) -> AsyncIterator[Drill]:
    """Run everything, with two regions, a space and a tenant in the map."""
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(running_cluster(folder / "etcd"))
        proxies = [await stack.enter_async_context(TcpProxy(endpoint)) for endpoint in cluster.endpoints]
        services = await stack.enter_async_context(
            running_services(folder, cluster.endpoints, [proxy.address for proxy in proxies])
        )
        control = await stack.enter_async_context(grpc.aio.insecure_channel(services.control))
        router = await stack.enter_async_context(grpc.aio.insecure_channel(services.router))
        drill = Drill(
            cluster,
            proxies,
            ControlStubs(control, services.operator()),
            RouterStubs(router, services.member(TENANT)),
            folder / "map.snapshot",
        )
        await _furnish(drill.control)
        yield drill


async def _furnish(control: ControlStubs) -> None:
    for name in (REGION, OTHER):
        region = entries_pb.Region(
            region_id=name,
            jurisdiction=JURISDICTION,
            state=entries_pb.REGION_STATE_SERVING,
            endpoints=entries_pb.RegionEndpoints(retrieval=["127.0.0.1:1"]),
        )
        await until(partial(control, control.regions.PutRegion, regions_pb.PutRegionRequest(region=region)))
    space = entries_pb.Space(space_id="minilm", model_id="minilm", model_revision="1", dimension=384)
    await control(control.spaces.PutSpace, spaces_pb.PutSpaceRequest(space=space))
    tenant = entries_pb.Tenant(tenant_id=TENANT, tier="enterprise", jurisdictions=[JURISDICTION])
    await control(control.tenants.PutTenant, tenants_pb.PutTenantRequest(tenant=tenant))


@dataclass
class Past:
    """What was handed out before the loss."""

    token_a: bytes
    """Of a change that the backup has."""
    token_b: bytes
    """Of the last change, which it lacks."""
    page_token: str


async def _live_a_little(drill: Drill) -> Past:
    """Make changes before and after the backup, and see the router serve them."""
    kept = await drill.put("kept", REGION)
    await drill.put("other", REGION)
    await until(lambda: drill.placement("kept", kept.map_token))
    await save_snapshot(drill.cluster.endpoints, drill.snapshot)
    await drill.put("undone", REGION)
    moved = await drill.put("kept", REGION, OTHER, revision=kept.collection.revision)
    assert await drill.placement("kept", moved.map_token) == [REGION, OTHER]
    assert await drill.placement("undone") == [REGION]
    return Past(kept.map_token, moved.map_token, (await drill.page()).next_page_token)


async def _lose_etcd(drill: Drill) -> None:
    """Destroy every member: the router goes on with its last good map, and changes are refused."""
    await drill.cluster.destroy()
    assert await drill.placement("kept") == [REGION, OTHER]
    assert await reason_of(drill.put("while-away", REGION)) == "MAP_UNWRITABLE"


async def _grow_beyond(drill: Drill, token: bytes) -> str:
    """Make changes until the restored store's revision is above the one that a token names; return the last one."""
    for number in range(100):
        put = await until(partial(drill.put, f"new-{number}", REGION))
        if decode(put.map_token).revision > decode(token).revision + 2:
            return str(put.collection.collection_id)
    raise AssertionError("the store did not grow")


async def _check_the_new_life(drill: Drill, past: Past) -> None:
    """The router serves the restored map alone, refuses what was handed out before, and follows new changes."""
    await until(lambda: drill.placement("undone"), lambda seen: seen == "COLLECTION_UNKNOWN")
    assert await drill.placement("kept") == [REGION]
    for token in (past.token_a, past.token_b):
        assert await reason_of(drill.placement("kept", token)) == "MAP_TOKEN_INVALID"
    assert await reason_of(drill.page(past.page_token)) == "PAGE_EXPIRED"
    put = await drill.put("undone", OTHER)
    assert decode(put.map_token).epoch != decode(past.token_a).epoch
    assert await drill.placement("undone", put.map_token) == [OTHER]
    seen = {item.collection_id for item in await _all_pages(drill)}
    assert {"kept", "other", "undone"} <= seen
    assert "while-away" not in seen


async def _all_pages(drill: Drill) -> list[Any]:
    found: list[Any] = []
    token, more = "", True
    while more:
        page = await drill.page(token)
        found += page.collections
        token, more = page.next_page_token, bool(page.next_page_token)
    return found


async def test_the_drill(tmp_path: Path) -> None:
    """Backup, loss, restore, new epoch: a router that kept running serves the restored map and refuses old tokens."""
    async with prepared(tmp_path) as drill:
        past = await _live_a_little(drill)
        await _lose_etcd(drill)

        await drill.cluster.restore(drill.snapshot)
        await drill.cluster.start()
        await drill.renew_epoch()

        await _check_the_new_life(drill, past)


async def test_the_drill_when_the_restored_store_outgrew_the_lost_one(tmp_path: Path) -> None:
    """A router that was cut off comes back when its revision exists again, with other changes: it still notices."""
    async with prepared(tmp_path) as drill:
        past = await _live_a_little(drill)
        drill.cut_off()
        await _lose_etcd(drill)

        await drill.cluster.restore(drill.snapshot)
        await drill.cluster.start()
        await drill.renew_epoch()
        await _grow_beyond(drill, past.token_b)
        drill.connect()

        await _check_the_new_life(drill, past)
        assert await drill.placement("new-0") == [REGION]


async def test_the_drill_in_the_wrong_order(tmp_path: Path) -> None:
    """As before, but the router comes back before the epoch is renewed, and misses changes: the new epoch heals it."""
    async with prepared(tmp_path) as drill:
        past = await _live_a_little(drill)
        drill.cut_off()
        await _lose_etcd(drill)

        await drill.cluster.restore(drill.snapshot)
        await drill.cluster.start()
        last = await _grow_beyond(drill, past.token_b)
        drill.connect()
        await until(partial(drill.placement, last))  # it follows the restored store, from the wrong place
        await drill.renew_epoch()

        await _check_the_new_life(drill, past)
        assert await drill.placement("new-0") == [REGION]
