# ruff: noqa: N802  # method names are the contract's
"""Samples of documents, over real streams of two regions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
import pytest

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_map import testing as maps
from trunkline_map.testing import StaticMap, static_map
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    BackendUnavailable,
    CollectionNotPlaced,
    CollectionUnknown,
    DomainError,
    FieldInvalid,
    NoAllowedRegion,
    ResidencyRouterOutside,
)
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_mesh.status import to_trailers
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.sample import (
    MAX_SAMPLE_BYTES,
    SAMPLE_POLICY,
    Sample,
    SampleCommand,
    Samples,
    parse_sample,
)
from trunkline_routing.edge.sample_client import SampleClient

Context = grpc.aio.ServicerContext[Any, Any]
EU, NORTH, US = "eu-west", "eu-north", "us-east"


class Shelf(retrieval_grpc.RetrievalServiceServicer):
    """A region's collection, exported without end."""

    def __init__(self) -> None:
        self.refusals: list[DomainError | None] = []
        """What becomes of the next calls; then all are served."""
        self.asked: list[retrieval_pb.ExportRequest] = []
        self.tokens: list[str] = []
        self.text = "text"
        self.count = 10_000
        self.ended = asyncio.Event()

    async def Export(
        self, request: retrieval_pb.ExportRequest, context: Context
    ) -> AsyncIterator[retrieval_pb.ExportResponse]:
        self.asked.append(request)
        self.tokens.append(str(dict(context.invocation_metadata() or ()).get("authorization")))
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            code, message, trailers = to_trailers(refusal)
            await context.abort(code, message, trailers)
        try:
            for start in range(0, self.count, request.page_size):
                page = retrieval_pb.ExportResponse()
                for number in range(start, min(start + request.page_size, self.count)):
                    document = document_pb.Document(document_id=f"d{number}", text=self.text)
                    page.documents.add(document=document, values=[0.0] * 384)
                yield page
        finally:
            self.ended.set()


class World:
    """Three regions, of which two hold what may be read in Europe."""

    def __init__(self, shelves: dict[str, Shelf], source: StaticMap, channels: ChannelPool) -> None:
        self.shelves = shelves
        self.map = source
        self._channels = channels

    async def read(
        self, collection: str = "guide", count: int = 64, *, region_id: str = EU, map_token: bytes = b""
    ) -> Sample:
        principal = Principal("ann", "acme", frozenset({"admin"}), "a-token", 2e9)
        scope = RequestScope("r", 1, "/x/SampleDocuments", Deadline.after(10.0), deadline_capped=False)
        scope.principal = principal
        enter_request(scope)
        failover = Failover("retrieval", "Export", SAMPLE_POLICY, BreakerRegistry(), RetryBudget())
        samples = Samples(self.map, SampleClient(self._channels), failover, region_id=region_id)
        return await samples.run("acme", SampleCommand(collection, count, map_token), scope)


@asynccontextmanager
async def serving(shelf: Shelf) -> AsyncIterator[str]:
    server = grpc.aio.server()
    retrieval_grpc.add_RetrievalServiceServicer_to_server(shelf, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    shelves = {name: Shelf() for name in (EU, NORTH, US)}  # type: ignore[abstract]  # Export alone is asked for
    async with AsyncExitStack() as stack:
        at = {name: await stack.enter_async_context(serving(shelf)) for name, shelf in shelves.items()}
        source = static_map(
            maps.region(EU, "eu", retrieval=at[EU]),
            maps.region(NORTH, "eu", retrieval=at[NORTH]),
            maps.region(US, "us", retrieval=at[US]),
            maps.space("minilm"),
            maps.tenant("acme", "eu", "us"),
            maps.collection("acme", "guide", [EU, NORTH], ["eu"]),
        )
        channels = await stack.enter_async_context(ChannelPool())
        yield World(shelves, source, channels)


async def test_the_first_documents_are_read_and_no_more(world: World) -> None:
    """By the caller's own credential; the stream ends when there is enough."""
    sample = await world.read(count=70)

    assert [document.document_id for document in sample.documents] == [f"d{number}" for number in range(70)]
    assert sample.region_id == EU
    assert world.shelves[EU].tokens == ["Bearer a-token"]
    await asyncio.wait_for(world.shelves[EU].ended.wait(), 10.0)


async def test_a_small_collection_is_read_whole(world: World) -> None:
    """Also an empty one."""
    world.shelves[EU].count = 3
    assert len((await world.read()).documents) == 3
    world.shelves[EU].count = 0
    assert list((await world.read()).documents) == []


async def test_large_documents_are_fewer(world: World) -> None:
    """What is answered fits into a message; one document is always there."""
    world.shelves[EU].text = "x" * 30_000
    sample = await world.read(count=256)
    assert 30 <= len(sample.documents) < 36
    assert sum(document.ByteSize() for document in sample.documents) <= MAX_SAMPLE_BYTES


async def test_another_region_of_the_placement_takes_over(world: World) -> None:
    """Behind the wall alone."""
    world.shelves[EU].refusals = [BackendUnavailable()]
    assert (await world.read(count=1)).region_id == NORTH
    world.shelves[EU].refusals = [BackendUnavailable()]
    world.shelves[NORTH].refusals = [BackendUnavailable()]
    with pytest.raises(NoAllowedRegion):
        await world.read(count=1)
    assert world.shelves[US].asked == []


async def test_a_region_whose_map_is_behind_is_asked_to_catch_up(world: World) -> None:
    """First by the map that it has, then by one that knows the collection."""
    world.shelves[EU].refusals = [CollectionNotPlaced()]
    assert (await world.read(count=1)).region_id == EU
    first, second = world.shelves[EU].asked
    assert (bool(first.map_token), bool(second.map_token)) == (False, True)


async def test_a_collection_behind_the_wall_is_not_read(world: World) -> None:
    """The router in the US may not hold its documents, not even for a moment."""
    with pytest.raises(ResidencyRouterOutside):
        await world.read(region_id=US)
    with pytest.raises(CollectionUnknown):
        await world.read("nowhere")
    assert not any(shelf.asked for shelf in world.shelves.values())


def test_a_message_becomes_a_command() -> None:
    """64 documents unless the caller says otherwise; everything wrong is told at once."""
    assert parse_sample(routing_pb.SampleDocumentsRequest(collection="guide")) == SampleCommand("guide", 64)
    wrong = routing_pb.SampleDocumentsRequest(collection="", count=257, map_token=b"x" * 65)
    with pytest.raises(FieldInvalid) as refused:
        parse_sample(wrong)
    assert [violation.field for violation in refused.value.violations] == ["collection", "count", "map_token"]
