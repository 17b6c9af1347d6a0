"""What a search may ask for: filters, scores, fields, vectors, deadlines; and what a write does to it."""

from __future__ import annotations

import asyncio
from functools import partial

import grpc
import pytest
from tests.e2e import world
from tests.e2e.account import SEARCH_TOKENS, ids
from tests.e2e.place import LONG_S, RERANK_MIN_S, Place, undisturbed, until

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_client import Between, Document, Equals, Filter, InvalidRequest, NotFound, Vector
from trunkline_local import Service
from trunkline_local.seeding import MODEL_ID, MODEL_REVISION, SPACE_ID


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
        result = await until(
            partial(search, deadline_s=RERANK_MIN_S * 0.9),
            lambda answer: [each.reason for each in answer.trail.degradations] == ["RERANK_SKIPPED_DEADLINE"],
        )
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
