"""What the front door does over real hops: deadlines shrink, cancellation arrives, failover and its account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import grpc
import pytest
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import EU, JURISDICTIONS, TENANT, US, FrontDoor

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh import errors

DOWN = errors.BackendUnavailable()


async def eventually(condition: Callable[[], bool], *, within_s: float = 5.0) -> None:
    """Wait until a condition of this process holds; raises TimeoutError if it does not."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the condition is gRPC's, which has no event to wait for
            await asyncio.sleep(0.005)


def degradations(trail: trail_pb.Trail) -> dict[str, str]:
    prefix = "DEGRADATION_REASON_"
    return {trail_pb.DegradationReason.Name(one.reason).removeprefix(prefix): one.subject for one in trail.degradations}


def outcomes(trail: trail_pb.Trail) -> list[tuple[str, str]]:
    prefix = "ATTEMPT_OUTCOME_"
    return [
        (one.region, trail_pb.AttemptOutcome.Name(one.outcome).removeprefix(prefix))
        for account in trail.collections
        for one in account.attempts
    ]


def upsert(collection: str = "both") -> routing_pb.UpsertRequest:
    documents = [document_pb.Document(document_id="d1", text="text")]
    return routing_pb.UpsertRequest(collection=collection, documents=documents)


@pytest.mark.parametrize("timeout_s", [1.981, 4.999])
async def test_every_hop_is_told_less_than_its_caller_has(fresh: OpenFrontDoor, timeout_s: float) -> None:
    """Embedding, retrieval and rerank: each later one less than the one before had left."""
    front_door = await fresh()
    answer = await front_door.search("leak", collections=["both"], timeout_s=timeout_s)
    assert answer.code is grpc.StatusCode.OK
    here = front_door.regions[EU]
    [embed], [search], [rerank] = here.calls("Embed"), here.calls("Search"), here.calls("Rerank")
    assert embed.told_s < timeout_s
    assert search.told_s < timeout_s
    assert rerank.told_s < timeout_s
    assert {seen.metadata["trunkline-request-id"] for seen in here.seen} == {answer.response.trail.request_id}


async def test_identity_travels_unchanged(fresh: OpenFrontDoor) -> None:
    """The service that holds data verifies it again."""
    front_door = await fresh()
    token = front_door.token()
    await front_door.search(token=token, metadata=(("trunkline-request-id", "my-own-id"), ("trunkline-attempt", "2")))
    for seen in front_door.regions[EU].seen:
        assert seen.metadata["authorization"] == f"Bearer {token}"
        assert (seen.metadata["trunkline-request-id"], seen.metadata["trunkline-attempt"]) == ("my-own-id", "2")


@pytest.mark.parametrize(("hangs", "method"), [("Embed", "Search"), ("Search", "Search"), ("Rerank", "Search")])
async def test_a_callers_cancel_reaches_every_hop(fresh: OpenFrontDoor, hangs: str, method: str) -> None:
    """Work that nobody waits for ends where it is done, and what was not done is refunded."""
    front_door = await fresh()
    here = front_door.regions[EU]
    here.hangs = {hangs}
    task = asyncio.create_task(front_door.search("anything", collections=["both"]))
    await eventually(lambda: bool(here.calls(hangs)))
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: here.cancelled == [hangs])
    await eventually(lambda: bool(front_door.quota.refunded))


async def test_a_cancelled_write_reaches_both_regions(fresh: OpenFrontDoor) -> None:
    """Both were being written."""
    front_door = await fresh()
    for name in (US, EU):
        front_door.regions[name].hangs = {"Upsert"}
    task = asyncio.create_task(front_door.call("Upsert", upsert()))
    await eventually(lambda: all(front_door.regions[name].calls("Upsert") for name in (US, EU)))
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: all(front_door.regions[name].cancelled == ["Upsert"] for name in (US, EU)))


async def test_a_silent_region_is_left_in_time_for_another(fresh: OpenFrontDoor) -> None:
    """Its share of the deadline leaves time; the one that serves says so."""
    front_door = await fresh()
    front_door.regions[EU].hangs = {"Search"}
    answer = await front_door.search("anything", collections=["both"], timeout_s=4.0, rerank={"disabled": True})
    assert answer.code is grpc.StatusCode.OK
    assert outcomes(answer.response.trail) == [(EU, "FAILED"), (US, "SERVED")]
    assert answer.response.trail.collections[0].attempts[0].error == errors.BackendTimeout.reason
    assert degradations(answer.response.trail) == {"SERVED_FROM_OTHER_REGION": "both"}
    await eventually(lambda: front_door.regions[EU].cancelled == ["Search"])


async def test_a_dead_region_is_left_at_once_and_eu_data_stays(fresh: OpenFrontDoor) -> None:
    """{us, eu} fails over; {eu} alone is refused, and its text went nowhere else."""
    front_door = await fresh()
    server = front_door.regions[EU].server
    assert server is not None
    await server.stop(0)
    answer = await front_door.search("anything", collections=["both"])
    assert {hit.region for hit in answer.response.hits} == {US}
    before = len(front_door.regions[US].seen)
    refused = await front_door.search("for the EU alone", collections=["europe"])
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "NO_ALLOWED_REGION")
    assert refused.metadata == {"collection": "europe", "triedRegions": EU}
    assert len(front_door.regions[US].seen) == before


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.Overloaded(retry_delay_s=0.2), grpc.StatusCode.UNAVAILABLE),
        (errors.StaleMap(), grpc.StatusCode.UNAVAILABLE),
        (errors.TenantMismatch(), grpc.StatusCode.PERMISSION_DENIED),
        (errors.FieldInvalid(), grpc.StatusCode.INVALID_ARGUMENT),
        (errors.Internal(), grpc.StatusCode.INTERNAL),
    ],
    ids=lambda value: getattr(value, "name", type(value).__name__),
)
async def test_refusals_of_regions_arrive_as_they_are(
    fresh: OpenFrontDoor, error: errors.DomainError, code: grpc.StatusCode
) -> None:
    """By reason, over two hops."""
    front_door = await fresh()
    for region in front_door.regions.values():
        region.refuses = {"Search": error}
    answer = await front_door.search(collections=["both"])
    assert answer.code is code
    assert errors.reason_name(error.reason) == answer.reason


async def test_a_vendors_text_stays_behind(fresh: OpenFrontDoor, logged: list[MutableMapping[str, Any]]) -> None:
    """A bare status with whatever text becomes a reason of ours without it, also in the log."""
    front_door = await fresh()
    for region in front_door.regions.values():
        region.vendor_text = "password=hunter2"
    answer = await front_door.search(collections=["both"])
    assert (answer.code, answer.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "hunter2" not in answer.everything
    assert logged
    assert "hunter2" not in str([{**event, "exc_info": None} for event in logged])


async def test_a_write_that_misses_a_region_is_not_acknowledged(fresh: OpenFrontDoor) -> None:
    """And names it."""
    front_door = await fresh()
    front_door.regions[US].refuses = {"Upsert": DOWN}
    answer = await front_door.call("Upsert", upsert())
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "WRITE_INCOMPLETE")
    assert answer.metadata == {"collection": "both", "failedRegions": US}
    front_door.regions[US].refuses = {}
    answer = await front_door.call("Upsert", upsert())
    assert [one.region for one in answer.response.regions] == [US, EU]


async def test_a_batch_is_one_embedding_call(fresh: OpenFrontDoor) -> None:
    """Answers in the order of the queries."""
    front_door = await fresh()
    queries = [
        routing_pb.SearchRequest(text=f"question {number}", top_k=number + 1, collections=[name])
        for number, name in enumerate(("both", "europe", "both"))
    ]
    answer = await front_door.call("SearchBatch", routing_pb.SearchBatchRequest(queries=queries))
    assert [len(one.hits) for one in answer.response.responses] == [1, 2, 2]
    assert [{hit.collection for hit in one.hits} for one in answer.response.responses] == [
        {"both"},
        {"europe"},
        {"both"},
    ]
    [embed] = front_door.regions[EU].calls("Embed")
    assert list(embed.request.texts) == ["question 0", "question 1", "question 2"]
    assert not front_door.regions[US].seen


async def test_failures_inside_a_batch_surface_as_one_refusal(fresh: OpenFrontDoor) -> None:
    """Tasks in tasks, one status."""
    front_door = await fresh()
    for region in front_door.regions.values():
        region.refuses = {"Search": errors.Overloaded(retry_delay_s=0.2)}
    queries = [routing_pb.SearchRequest(text="x", top_k=1, collections=["both", "europe"])] * 3
    answer = await front_door.call("SearchBatch", routing_pb.SearchBatchRequest(queries=queries))
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")


async def test_neither_queries_nor_credentials_nor_tenants_are_logged(
    front_door: FrontDoor, logged: list[MutableMapping[str, Any]]
) -> None:
    """Of calls that went well and of calls that did not."""
    token = front_door.token()
    await front_door.search("a planted sentence", token=token, collections=["both"])
    await front_door.search("a planted sentence", token=token, collections=["planted-name"])
    await front_door.search("a planted sentence", token=token, tenant_id="planted-tenant")
    assert [event["reason"] for event in logged if "reason" in event] == ["COLLECTION_UNKNOWN", "TENANT_MISMATCH"]
    told = str(logged)
    for hidden in ("planted", token, token.split(".")[1], TENANT):
        assert hidden not in told


async def test_a_search_by_every_region_is_the_same_search(fresh: OpenFrontDoor) -> None:
    """Whichever router inside the jurisdictions is asked."""
    found = []
    for name in JURISDICTIONS:
        if name in (US, EU):
            answer = await (await fresh(region=name)).search(collections=["both"])
            found.append([hit.document.document_id for hit in answer.response.hits])
            assert answer.response.trail.router_region == name
    assert found[0] == found[1]
