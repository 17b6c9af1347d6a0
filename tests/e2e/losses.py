"""Losing a control store is not losing the service: etcd and one region's Valkey are killed and come back."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial

import pytest
from tests.e2e import world
from tests.e2e.place import LONG_S, Place, health, undisturbed, until

from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline_client import Document, SearchResult, TrunklineError, Unavailable
from trunkline_local.seeding import SPACE_ID


def _reasons(result: SearchResult) -> set[str]:
    return {each.reason for each in result.trail.degradations}


async def test_without_etcd_searches_go_on_and_changes_are_refused(place: Place) -> None:
    """Every router answers from its last good map, whose age grows; control reads and writes nothing meanwhile."""
    entry = entries_pb.Collection(tenant_id=world.ACME, collection_id="late", space_id=SPACE_ID, placement=[world.ASIA])
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(place.control())
        clients = [await stack.enter_async_context(place.client(region)) for region in world.REGIONS]
        searches = [partial(client.search, "tables", collections=["formats"], deadline_s=LONG_S) for client in clients]
        await place.stack.kill("etcd-0")
        for region, search in zip(world.REGIONS, searches, strict=True):
            endpoint = place.endpoint(region)
            await until(partial(health, endpoint, "dependency/etcd"), False.__eq__)
            first, second = await undisturbed(search), await undisturbed(search)
            assert first.hits[0].document_id == "csv"
            assert first.trail.map_age_s < second.trail.map_age_s
            assert await health(endpoint)
        with pytest.raises(Unavailable) as refused:
            await control.put_collection(entry)
        read = await control.collection(world.ACME, "formats")
        await place.stack.start("etcd-0")
        written = await until(partial(control.put_collection, entry), lambda _: True)
        again = [
            await client.search("x", collections=["late"], map_token=written.map_token, deadline_s=LONG_S)
            for client in clients
        ]
    assert refused.value.reason == "MAP_UNWRITABLE"
    assert list(read.value.placement) == list(world.REGIONS)
    assert {item.served_region for result in again for item in result.trail.collections} == {world.ASIA}


async def test_without_valkey_the_local_share_is_granted_and_told(place: Place) -> None:
    """Where the tenant's quota is kept: searches go on everywhere, say QUOTA_LOCAL, and the authority is used again."""
    home = await place.home_of(world.ACME)
    valkey, elsewhere = f"{home}/valkey", next(region for region in world.REGIONS if region != home)
    async with place.client(home) as at_home, place.client(elsewhere) as away:
        near = partial(at_home.search, "tables", collections=["formats"], deadline_s=LONG_S)
        far = partial(away.search, "tables", collections=["formats"], deadline_s=LONG_S)
        await undisturbed(near)
        await place.stack.kill(valkey)
        lost = await until(near, lambda result: "QUOTA_LOCAL" in _reasons(result))
        other = await undisturbed(far)
        await place.stack.start(valkey)
        back = await until(near, lambda result: "QUOTA_LOCAL" not in _reasons(result))
    assert lost.hits[0].document_id == other.hits[0].document_id == back.hits[0].document_id == "csv"


async def test_without_the_model_server_keywords_answer(place: Place) -> None:
    """Rules and explicit collections find by keywords and say so; what needs a vector is refused with a reason."""
    await place.stack.kill("triton")
    async with place.client(world.US) as client:
        ruled = await client.search("Which debugger has frames?", deadline_s=LONG_S)
        named = await client.search("snapshots of blocks", collections=["debugging"], deadline_s=LONG_S)
        undecided = await client.search("Where did my memory go this morning?", deadline_s=LONG_S)
        with pytest.raises(TrunklineError) as scored:
            await client.search("crashes at night", collections=["debugging"], min_score=0.1, deadline_s=LONG_S)
        with pytest.raises(TrunklineError) as written:
            await client.upsert("debugging", [Document("unembedded", "nobody embedded this")], deadline_s=LONG_S)
    assert [result.hits[0].document_id for result in (ruled, named)] == ["pdb", "tracemalloc"]
    for result in (ruled, named):
        assert {"SPARSE_ONLY", "RERANK_SKIPPED_UNAVAILABLE"} <= _reasons(result)
        assert result.hits[0].score_kind == "BM25"
        assert result.trail.charged_tokens == 1
    assert undecided.trail.decision is not None
    assert undecided.trail.decision.strategy == "NONE"
    assert "DECISION_WITHOUT_SEMANTICS" in _reasons(undecided)
    assert (scored.value.status, scored.value.reason) == ("UNAVAILABLE", "NO_ALLOWED_REGION")
    assert (written.value.status, written.value.reason) == ("UNAVAILABLE", "NO_ALLOWED_REGION")
