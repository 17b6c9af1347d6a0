"""The main job: a tenant's query finds its collections and its answer, and the trail tells how."""

from __future__ import annotations

from functools import partial

import grpc
import pytest
from tests.e2e import world
from tests.e2e.account import check_account, ids
from tests.e2e.place import LONG_S, Place, undisturbed

from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_client import NotFound, Query
from trunkline_local import Service


async def test_documents_are_in_every_region_of_the_placement(place: Place) -> None:
    """Each region's own retrieval has the same documents, and a region outside the placement refuses."""
    metadata = (("authorization", f"Bearer {place.token()}"),)
    for seed in world.COLLECTIONS:
        if seed.tenant_id != world.ACME:
            continue
        found: dict[str, list[retrieval_pb.EmbeddedDocument]] = {}
        for region in world.REGIONS:
            async with grpc.aio.insecure_channel(place.endpoint(region, Service.RETRIEVAL)) as channel:
                request = retrieval_pb.ExportRequest(collection=seed.collection_id, map_token=place.map_token)
                pages = retrieval_grpc.RetrievalServiceStub(channel).Export(request, metadata=metadata, timeout=LONG_S)
                if region in seed.placement:
                    found[region] = [document async for page in pages for document in page.documents]
                    continue
                with pytest.raises(grpc.aio.AioRpcError) as refused:
                    await pages.read()
                assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        primary = found[seed.placement[0]]
        assert {each.document.document_id for each in primary} == {
            document.document_id for document in world.DOCUMENTS[seed.collection_id]
        }
        assert all(copy == primary for copy in found.values())


async def test_consistency_chooses_the_region(place: Place) -> None:
    """`any` is served by the router's own region, `primary` by the placement's first, wherever it is asked."""
    for router in (world.US, world.EU):
        async with place.client(router) as client:
            search = partial(client.search, "Which debugger is there?", collections=["concurrency"], deadline_s=LONG_S)
            near = await undisturbed(search)
            primary = await undisturbed(partial(search, consistency="primary"))
        assert near.trail.collections[0].served_region == router
        assert primary.trail.collections[0].served_region == world.EU
        assert {hit.region for hit in primary.hits} == {world.EU}


async def test_rules_decide(place: Place) -> None:
    """A keyword of the policy sends the query to its collection; the answer is reranked and explained."""
    async with place.client(world.US) as client:
        result = await undisturbed(
            partial(client.search, "Where do I set a breakpoint?", explain=True, deadline_s=LONG_S)
        )
    check_account(result.trail, router=world.US)
    decision = result.trail.decision
    assert decision is not None
    assert (decision.strategy, decision.policy_version) == ("RULES", 1)
    assert [item.collection for item in result.trail.collections] == ["debugging"]
    assert ids(result)[0] == "pdb"
    assert result.hits[0].score_kind == "RERANK"
    assert result.hits[0].fields["source"] == "pdb.md"
    if not decision.cached:
        assert "keyword 'breakpoint'" in decision.reasons[0]


async def test_semantics_decide(place: Place) -> None:
    """Without a matching rule the nearest examples decide, in each jurisdiction's router alike."""
    for router in (world.US, world.EU):
        async with place.client(router) as client:
            text = "My program loses more and more memory, how do I find out where?"
            result = await undisturbed(partial(client.search, text, explain=True, deadline_s=LONG_S))
        check_account(result.trail, router=router)
        decision = result.trail.decision
        assert decision is not None
        assert decision.strategy == "SEMANTIC"
        assert result.trail.collections[0].collection == "debugging"
        assert ids(result)[0] == "tracemalloc"


async def test_a_query_spans_two_collections(place: Place) -> None:
    """Both collections are searched, their hits merged into one order with the region of each told."""
    async with place.client(world.US) as client:
        search = partial(client.search, "Which debugger shows me threads?", top_k=10, deadline_s=LONG_S)
        reranked = await undisturbed(search)
        fused = await undisturbed(partial(search, rerank=False))
    for result in (reranked, fused):
        check_account(result.trail, router=world.US)
        assert {item.collection for item in result.trail.collections} == {"debugging", "concurrency"}
        assert {hit.collection for hit in result.hits} == {"debugging", "concurrency"}
        assert sum(item.hit_count for item in result.trail.collections) == len(result.hits) == 5
        assert [hit.score for hit in result.hits] == sorted((hit.score for hit in result.hits), reverse=True)
    assert {hit.score_kind for hit in reranked.hits} == {"RERANK"}
    assert {hit.score_kind for hit in fused.hits} == {"RRF"}


async def test_a_query_that_belongs_nowhere(place: Place) -> None:
    """Nothing decides: no collection, no hit, and no error."""
    async with place.client(world.US) as client:
        result = await undisturbed(partial(client.search, "What is a good recipe for apple pie?", deadline_s=LONG_S))
    decision = result.trail.decision
    assert decision is not None
    assert (decision.strategy, decision.confidence) == ("NONE", 0.0)
    assert result.hits == ()
    assert result.trail.collections == ()


async def test_explicit_collections_and_route(place: Place) -> None:
    """Named collections need no decision; `Route` tells where the search would go, and costs nothing."""
    async with place.client(world.EU) as client:
        result = await undisturbed(
            partial(client.search, "tables", collections=["formats", "debugging"], deadline_s=LONG_S)
        )
        routed = await client.route("tables", collections=["formats", "debugging"], deadline_s=4.0)
        with pytest.raises(NotFound, match="COLLECTION_UNKNOWN"):
            await client.search("tables", collections=["nowhere"])
    check_account(result.trail, router=world.EU)
    assert result.trail.decision is not None
    assert result.trail.decision.strategy == "EXPLICIT"
    assert ids(result)[0] == "csv"
    would = {item.collection: [each.outcome for each in item.attempts] for item in routed.trail.collections}
    assert would == {"formats": ["SERVED", "NOT_NEEDED", "NOT_NEEDED"], "debugging": ["SERVED", "NOT_NEEDED"]}
    assert (routed.trail.reserved_tokens, routed.trail.charged_tokens) == (0, 0)


async def test_a_batch_is_answered_query_by_query(place: Place) -> None:
    """Each query has its own decision, hits and account, in order, under one request id."""
    queries = [
        Query(text="Where do I set a breakpoint?"),
        Query(text="What does an event loop do?", rerank=False),
        Query(text="What is a good recipe for apple pie?"),
    ]
    async with place.client(world.US) as client:
        results = await client.search_batch(queries, deadline_s=LONG_S, request_id="batch-of-three")
    strategies = [result.trail.decision.strategy for result in results if result.trail.decision is not None]
    assert strategies == ["RULES", "RULES", "NONE"]
    assert [ids(result)[:1] for result in results] == [["pdb"], ["asyncio"], []]
    assert {result.trail.request_id for result in results} == {"batch-of-three"}
