"""Data and questions stay inside the jurisdictions, and the refusal says where to ask instead."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from google.protobuf.message import Message
from tests.e2e import world
from tests.e2e.place import LONG_S, Place

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_client import ResidencyRefused
from trunkline_local.seeding import SPACE_ID

QUESTION = "Where is the volcano lair's elevator?"
_ROUTING = "/trunkline.routing.v1.RoutingService/"
REQUESTS: dict[str, Message] = {
    "Search": routing_pb.SearchRequest(text=QUESTION, top_k=3),
    "SearchBatch": routing_pb.SearchBatchRequest(queries=[routing_pb.SearchRequest(text=QUESTION, top_k=3)]),
    "Route": routing_pb.RouteRequest(text=QUESTION),
    "Upsert": routing_pb.UpsertRequest(
        collection="notes", documents=[document_pb.Document(document_id="x", text=QUESTION)]
    ),
    "Delete": routing_pb.DeleteRequest(collection="notes", document_ids=["x"]),
}


@pytest.mark.parametrize("router", [world.US, world.ASIA])
async def test_a_router_outside_the_tenants_jurisdictions_refuses(place: Place, router: str) -> None:
    """Every method refuses a tenant of {eu} there and names the router of eu-west, and only that one."""
    for method, request in REQUESTS.items():
        token = place.token(world.GLOBEX)
        answer = await place.raw(place.endpoint(router), _ROUTING + method, request.SerializeToString(), token=token)
        assert (answer.code, answer.reason) == (
            grpc.StatusCode.FAILED_PRECONDITION,
            "RESIDENCY_ROUTER_OUTSIDE",
        ), method
        assert answer.metadata["allowedRegions"] == world.EU
        assert answer.metadata["allowedEndpoints"] == place.endpoint(world.EU)
        assert QUESTION not in answer.everything


async def test_a_collection_inside_a_wider_tenant_has_its_own_wall(place: Place) -> None:
    """A tenant of all jurisdictions is refused at the us router for a collection of {eu} alone, and only for that."""
    async with place.client(world.US) as client:
        with pytest.raises(ResidencyRefused) as refused:
            await client.search("invoices", collections=["records"], deadline_s=LONG_S)
        with pytest.raises(ResidencyRefused):
            await client.search("invoices", collections=["debugging", "records"], deadline_s=LONG_S)
        other = await client.search("invoices", collections=["debugging"], deadline_s=LONG_S)
        partial = await client.search(
            "invoices", collections=["debugging", "records"], allow_partial=True, deadline_s=LONG_S
        )
    assert refused.value.reason == "RESIDENCY_ROUTER_OUTSIDE"
    assert refused.value.metadata["allowedEndpoints"] == place.endpoint(world.EU)
    assert other.trail.router_region == world.US
    told = {(each.reason, each.subject) for each in partial.trail.degradations}
    assert ("COLLECTION_OUTSIDE_JURISDICTION", "records") in told
    assert {hit.collection for hit in partial.hits} <= {"debugging"}


async def test_the_client_goes_where_it_may(place: Place) -> None:
    """The client library asks the allowed router by itself, remembers it, and the caller notices nothing."""
    async with place.client(world.US, world.ASIA, world.EU, tenant=world.GLOBEX) as client:
        first = await client.search(QUESTION, collections=["notes"], deadline_s=LONG_S)
        second = await client.search(QUESTION, collections=["notes"], deadline_s=LONG_S)
    assert first.router.region == second.router.region == world.EU
    assert [each.outcome for each in first.attempts] == ["RESIDENCY_ROUTER_OUTSIDE", "OK"]
    assert [each.outcome for each in second.attempts] == ["OK"]
    assert first.hits[0].document_id == world.GLOBEX_DOCUMENT.document_id
    assert {hit.region for hit in first.hits} == {world.EU}


async def test_the_map_takes_no_placement_outside_the_wall(place: Place) -> None:
    """Neither a region nor a jurisdiction outside can be written to a collection's entry."""
    async with place.control() as control:
        for jurisdictions, placement in (([], [world.US]), (["eu"], [world.EU, world.US]), (["us"], [world.US])):
            entry = entries_pb.Collection(
                tenant_id=world.GLOBEX,
                collection_id="escape",
                space_id=SPACE_ID,
                placement=placement,
                jurisdictions=jurisdictions,
            )
            with pytest.raises(ResidencyRefused, match="RESIDENCY_VIOLATION"):
                await control.put_collection(entry)


async def test_no_question_of_a_walled_tenant_reaches_another_regions_log(place: Place) -> None:
    """A refused question stands in no log, not even as bytes."""
    logs = [each.log_path for each in place.stack.state.processes]
    texts = await asyncio.gather(*(asyncio.to_thread(path.read_bytes) for path in logs))
    assert all(QUESTION.encode() not in text for text in texts)
