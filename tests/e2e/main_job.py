"""The main job: a tenant's query finds its answer, and the trail tells how."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import pytest
from tests.e2e import world
from tests.e2e.place import LONG_S, RERANK_MIN_S, Place, undisturbed

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_client import (
    Between,
    Document,
    Equals,
    Filter,
    InvalidRequest,
    NotFound,
    Query,
    SearchResult,
    Trail,
    Vector,
)
from trunkline_local import Service
from trunkline_local.seeding import MODEL_ID, MODEL_REVISION, SPACE_ID

GRPC_ROUNDING = 1.03
"""gRPC may tell the server up to 3 % more than the caller gave."""
SEARCH_TOKENS, EMBEDDING_TOKENS, RERANK_TOKENS = 1, 1, 3


def check_account(trail: Trail, *, router: str, deadline_s: float = LONG_S) -> None:
    """Check what must hold in the trail of every search that was answered in full."""
    assert trail.router_region == router
    assert 0.0 < trail.deadline_s <= deadline_s * GRPC_ROUNDING
    assert trail.map_token
    assert 0.0 <= trail.map_age_s < 60.0
    assert not trail.truncated
    for item in trail.collections:
        served = [attempt for attempt in item.attempts if attempt.outcome == "SERVED"]
        assert [attempt.region for attempt in served] == [item.served_region]
        assert {attempt.outcome for attempt in item.attempts} <= {"SERVED", "NOT_NEEDED", "FAILED"}
        assert 0.0 < item.confidence <= 1.0
    check_stages(trail)


def check_stages(trail: Trail) -> None:
    """The stages stand once each, in order, none over the deadline; the bill is what they cost."""
    names = [stage.name for stage in trail.stages]
    order = ["ADMISSION", "DECISION", "EMBEDDING", "RETRIEVAL", "MERGE", "RERANK"]
    inside = [name for name in order if name in names]
    # Where semantics decide, the embedding begins inside the decision.
    assert sorted(names) == sorted(inside)
    assert [name for name in names if name != "EMBEDDING"] == [name for name in inside if name != "EMBEDDING"]
    assert all(0.0 <= stage.elapsed_s <= trail.deadline_s for stage in trail.stages)
    done = {stage.name for stage in trail.stages if not stage.skipped}
    charged = SEARCH_TOKENS + EMBEDDING_TOKENS * ("EMBEDDING" in done) + RERANK_TOKENS * ("RERANK" in done)
    assert trail.charged_tokens == charged <= trail.reserved_tokens


def ids(result: SearchResult) -> list[str]:
    return [hit.document_id for hit in result.hits]


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


async def test_filter_score_and_fields(place: Place) -> None:
    """Filters hold, a least similarity is kept, and only the fields that were asked for come back."""
    async with place.client(world.US) as client:
        search = partial(client.search, "memory", collections=["debugging"], top_k=10, deadline_s=LONG_S)
        crash = await undisturbed(partial(search, filter=Filter(must=[Equals("topic", "crash")])))
        easy = await undisturbed(partial(search, filter=Filter(must=[Between("level", lte=2)])))
        others = await undisturbed(partial(search, filter=Filter(must_not=[Equals("topic", "crash")])))
        near = await undisturbed(partial(search, min_score=0.3))
        nearer = await undisturbed(partial(search, min_score=0.999))
        named = await undisturbed(partial(search, include_fields=["topic"]))
    assert ids(crash) == ["faulthandler"]
    assert set(ids(easy)) == set(ids(others)) == {"tracemalloc", "pdb"}
    assert ids(near) == ["tracemalloc"]
    assert ids(nearer) == []
    assert {frozenset(hit.fields) for hit in named.hits} == {frozenset({"topic"})}


async def test_a_vector_of_the_callers_own(place: Place) -> None:
    """A vector finds what its text would find; one of another space or without collections is refused."""
    text = "tracemalloc finds memory leaks"
    async with grpc.aio.insecure_channel(place.endpoint(world.US, Service.INFERENCE)) as channel:
        request = inference_pb.EmbedRequest(model_id=MODEL_ID, model_revision=MODEL_REVISION, texts=[text])
        metadata = (("authorization", f"Bearer {place.token()}"),)
        embedded = await inference_grpc.InferenceServiceStub(channel).Embed(request, metadata=metadata, timeout=LONG_S)
    values = list(embedded.embeddings[0].values)
    async with place.client(world.US) as client:
        result = await undisturbed(
            partial(client.search, Vector(SPACE_ID, values), collections=["debugging"], deadline_s=LONG_S)
        )
        with pytest.raises(InvalidRequest, match="SPACE_MISMATCH"):
            await client.search(Vector("another", values), collections=["debugging"])
        with pytest.raises(InvalidRequest, match="collections"):
            await client.search(Vector(SPACE_ID, values))
    assert ids(result)[0] == "tracemalloc"
    assert result.hits[0].score_kind == "COSINE"
    assert {stage.name for stage in result.trail.stages} == {"ADMISSION", "DECISION", "RETRIEVAL"}
    assert (result.trail.reserved_tokens, result.trail.charged_tokens) == (1, 1)


async def test_a_deadline_too_short_for_reranking(place: Place) -> None:
    """The answer comes all the same, in the order of retrieval, and the trail says what was left out."""
    async with place.client(world.US) as client:
        search = partial(client.search, "Where do I set a breakpoint?")
        await undisturbed(partial(search, deadline_s=LONG_S))  # embedded once, so that little has to be done in time
        result = await search(deadline_s=RERANK_MIN_S * 0.9)
    assert [each.reason for each in result.trail.degradations] == ["RERANK_SKIPPED_DEADLINE"]
    assert [stage.skipped for stage in result.trail.stages if stage.name == "RERANK"] == [True]
    assert ids(result)[0] == "pdb"
    assert result.trail.charged_tokens == SEARCH_TOKENS
    assert result.trail.deadline_s <= RERANK_MIN_S


async def test_a_missing_deadline_is_capped(place: Place) -> None:
    """A call without a deadline, or with an absurd one, gets the method's cap, and the trail says so."""
    async with place.client(world.US) as client:
        result = await client.search("Where do I set a breakpoint?", deadline_s=1e6)
    assert "DEADLINE_CAPPED" in {each.reason for each in result.trail.degradations}
    assert result.trail.deadline_s <= 10.0


async def test_tenants_see_only_their_own(place: Place) -> None:
    """The same question over the same shard finds each tenant's documents and never the other's."""
    text = "volcano elevator debugger"
    async with place.client(world.EU) as acme, place.client(world.EU, tenant=world.GLOBEX) as globex:
        ours, theirs = await asyncio.gather(
            acme.search(text, collections=["formats", "debugging"], top_k=100, deadline_s=LONG_S),
            globex.search(text, top_k=100, deadline_s=LONG_S),
        )
        with pytest.raises(NotFound, match="COLLECTION_UNKNOWN"):
            await acme.search(text, collections=["notes"])
    assert world.GLOBEX_DOCUMENT.document_id not in ids(ours)
    assert ids(theirs) == [world.GLOBEX_DOCUMENT.document_id]
    assert theirs.trail.decision is not None
    assert theirs.trail.decision.strategy == "FALLBACK"


async def test_deleted_documents_are_gone_everywhere(place: Place) -> None:
    """A written document is found at once in both regions, and a deleted one in neither."""
    passing = Document("passing", "xylophone concerts happen seldom", {"topic": "music"})
    async with place.client(world.US) as us, place.client(world.EU) as eu:
        written = await us.upsert("debugging", [passing], deadline_s=30.0)
        searches = [
            partial(each.search, "xylophone concerts", collections=["debugging"], deadline_s=LONG_S)
            for each in (us, eu)
        ]
        found = [ids(await search())[0] for search in searches]
        deleted = await us.delete("debugging", ["passing"], deadline_s=30.0)
        left = [ids(await search()) for search in searches]
    assert (
        {each.region for each in written.regions} == {each.region for each in deleted.regions} == {world.US, world.EU}
    )
    assert found == ["passing", "passing"]
    assert all("passing" not in each for each in left)
