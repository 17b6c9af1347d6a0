"""Streams of changes through the real server, from a real etcd's watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import pytest
from grpc import StatusCode
from tests.integration.control.caller import Refused
from tests.integration.control.conftest import Control
from tests.integration.control.entries import collection, furnish, region, tenant
from tests.integration.map.etcd_server import EtcdServer

from trunkline.control.v1 import collection_map_service_pb2 as collection_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import space_service_pb2 as space_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb


async def take(stream: AsyncGenerator[Any, None], count: int) -> list[Any]:
    return [(await asyncio.wait_for(anext(stream), 10)).event for _ in range(count)]


def word(event: Any) -> str:
    if event.HasField("removed"):
        return f"-{event.removed.entry_id}"
    if event.HasField("written"):
        entry = getattr(event.written, event.written.WhichOneof("kind"))
        return f"+{getattr(entry, event.written.WhichOneof('kind') + '_id')}"
    return "."


async def test_a_watch_tells_what_is_there_and_what_happens(control: Control) -> None:
    """And goes on from any token, without a gap or a repeat."""
    op = control.operator
    await furnish(op)
    async with aclosing(op.stream(op.regions.WatchRegions, region_pb.WatchRegionsRequest())) as stream:
        assert [word(event) for event in await take(stream, 3)] == ["+eu-west", "+us-east", "."]
        put = await op(op.regions.PutRegion, region("ap-south", "apac"))
        gone = await op(op.regions.DeleteRegion, region_pb.DeleteRegionRequest(region_id="us-east"))
        events = await take(stream, 2)
    assert [word(event) for event in events] == ["+ap-south", "-us-east"]
    assert [event.map_token for event in events] == [put.map_token, gone.map_token]

    since = region_pb.WatchRegionsRequest(map_token=put.map_token)
    async with aclosing(op.stream(op.regions.WatchRegions, since)) as stream:
        assert [word(event) for event in await take(stream, 2)] == ["-us-east", "."]


async def test_every_kind_is_watched(control: Control) -> None:
    """Tenants by operators alone; collections tenant by tenant."""
    op, member = control.operator, control.member("acme")
    await furnish(op)
    await op(op.collections.PutCollection, collection("acme", "docs", "eu-west"))
    watched: list[tuple[Any, Any, Any, str]] = [
        (op, op.spaces.WatchSpaces, space_pb.WatchSpacesRequest(), "+minilm"),
        (op, op.tenants.WatchTenants, tenant_pb.WatchTenantsRequest(), "+acme"),
        (op, op.collections.WatchCollections, collection_pb.WatchCollectionsRequest(tenant_id="acme"), "+docs"),
        (member, member.collections.WatchCollections, collection_pb.WatchCollectionsRequest(), "+docs"),
        (member, member.regions.WatchRegions, region_pb.WatchRegionsRequest(), "+eu-west"),
    ]

    for caller, method, request, first in watched:
        async with aclosing(caller.stream(method, request)) as stream:
            assert [word(event) for event in await take(stream, 1)] == [first]
    with pytest.raises(Refused) as refused:
        await take(member.stream(member.tenants.WatchTenants, tenant_pb.WatchTenantsRequest()), 1)
    assert refused.value.reason == "METHOD_NOT_ALLOWED"


async def test_a_compacted_state_is_told(control: Control, etcd: EtcdServer) -> None:
    """Begin anew; garbage and tokens of another epoch are refused."""
    op = control.operator
    first = await op(op.regions.PutRegion, region("a", "eu"))
    await op(op.regions.PutRegion, region("b", "eu"))
    await etcd.compact()

    for token, reason in ((first.map_token, "PAGE_EXPIRED"), (b"\xff", "MAP_TOKEN_INVALID")):
        with pytest.raises(Refused) as refused:
            await take(op.stream(op.regions.WatchRegions, region_pb.WatchRegionsRequest(map_token=token)), 1)
        assert (refused.value.code, refused.value.reason) == (StatusCode.FAILED_PRECONDITION, reason)


async def test_a_cut_watch_is_told_and_goes_on(fragile_control: Control, fragile_etcd: EtcdServer) -> None:
    """etcd dies under it: the stream ends with a reason, and its last token finds every change."""
    op = fragile_control.operator
    await furnish(op)
    async with aclosing(op.stream(op.regions.WatchRegions, region_pb.WatchRegionsRequest())) as stream:
        last = (await take(stream, 3))[-1]
        await fragile_etcd.kill()
        with pytest.raises(Refused) as refused:
            await take(stream, 1)
        assert (refused.value.code, refused.value.reason) == (StatusCode.UNAVAILABLE, "MAP_UNWRITABLE")
    await fragile_etcd.start()
    await _eventually_put(op, "ap-south")

    since = region_pb.WatchRegionsRequest(map_token=last.map_token)
    async with aclosing(op.stream(op.regions.WatchRegions, since)) as stream:
        assert [word(event) for event in await take(stream, 2)] == ["+ap-south", "."]


async def _eventually_put(op: Any, name: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await op(op.regions.PutRegion, region(name, "apac"))
            except Refused as error:
                if error.reason == "REVISION_CONFLICT":
                    return  # an earlier try was made and not confirmed
                await asyncio.sleep(0.05)
            else:
                return


async def test_a_reader_that_stops_reading_holds_nothing_up(control: Control) -> None:
    """Others are told at once, and it finds everything, in order, when it reads on."""
    op = control.operator
    await op(op.tenants.PutTenant, tenant("acme", "eu"))
    async with (
        aclosing(op.stream(op.tenants.WatchTenants, tenant_pb.WatchTenantsRequest())) as idle,
        aclosing(op.stream(op.tenants.WatchTenants, tenant_pb.WatchTenantsRequest())) as quick,
    ):
        await take(idle, 2)
        await take(quick, 2)
        for number in range(60):
            await op(op.tenants.PutTenant, tenant(f"t-{number}", "eu"))
        written = [event.written.tenant.tenant_id for event in await take(quick, 60)]

        assert written == [f"t-{number}" for number in range(60)]
        assert [event.written.tenant.tenant_id for event in await take(idle, 60)] == written
