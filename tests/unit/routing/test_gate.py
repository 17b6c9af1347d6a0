"""The first question: may this router look at the request at all?"""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.routing.world import AP, EU, NORTH, TENANT, US, World, endpoints, query, scope

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline_map import testing as maps
from trunkline_map.token import encode
from trunkline_mesh import errors
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.model import Gate


async def enter(world: World, *, tenant_id: str = TENANT, map_token: bytes = b"", left_s: float = 5.0) -> Gate:
    deadline = scope(left_s).deadline
    return await gates.enter(
        world.map, tenant_id=tenant_id, region_id=world.settings.region, map_token=map_token, deadline=deadline
    )


async def test_a_router_inside_opens() -> None:
    """With the map, the tenant and its own region."""
    gate = await enter(World(EU))
    assert (gate.tenant.tenant_id, gate.region.region_id) == (TENANT, EU)


async def test_an_unknown_tenant_is_refused() -> None:
    """A credential may outlive its tenant."""
    with pytest.raises(errors.TenantUnknown):
        await enter(World(), tenant_id="nobody")


async def test_a_suspended_tenant_is_refused() -> None:
    """Everywhere."""
    world = World()
    world.map.put(maps.tenant(TENANT, "eu", suspended=True))
    with pytest.raises(errors.TenantSuspended):
        await enter(world)


async def test_a_suspended_tenants_token_of_the_future_buys_it_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told what it is, and soon; a token of the change that ended its suspension is waited for."""
    monkeypatch.setattr(gates, "SUSPENDED_WAIT_S", 0.02)
    world = World()
    world.map.put(maps.tenant(TENANT, "eu", suspended=True))
    ahead = encode(world.map.snapshot.epoch, world.map.snapshot.revision + 1)
    with pytest.raises(errors.TenantSuspended):
        await enter(world, map_token=ahead, left_s=60.0)

    monkeypatch.setattr(gates, "SUSPENDED_WAIT_S", 20.0)
    waiting = asyncio.ensure_future(enter(world, map_token=ahead, left_s=60.0))
    await asyncio.sleep(0)
    world.map.put(maps.tenant(TENANT, "eu"))
    assert (await waiting).tenant.tenant_id == TENANT


async def test_a_router_that_is_not_in_the_map_serves_nobody() -> None:
    """It cannot know in which jurisdiction it stands."""
    with pytest.raises(errors.MapNotReady):
        await enter(World("elsewhere"))


async def test_a_router_outside_names_where_to_ask() -> None:
    """All regions of the tenant's jurisdictions."""
    with pytest.raises(errors.ResidencyRouterOutside) as refused:
        await enter(World(AP))
    assert refused.value.metadata["allowedRegions"] == f"{NORTH},{EU},{US}"
    assert refused.value.metadata["allowedEndpoints"].split(",")[1] == f"{EU}.routing.test:1"


async def test_a_router_outside_does_nothing_else() -> None:
    """Not for searches, batches, routes or writes: no embedding, no search, no quota, no policy, no memory."""
    world = World(AP)
    calls = [
        world.ask(query("axis 0")),
        world.ask(query("axis 0"), query("axis 1")),
        world.route().run(TENANT, query("axis 0"), b"", scope()),
        world.write().upsert(TENANT, "both", [document_pb.Document(document_id="d", text="t")], b"", scope()),
        world.write().delete(TENANT, "both", ["d"], b"", scope()),
    ]
    for call in calls:
        with pytest.raises(errors.ResidencyRouterOutside):
            await call
    assert world.inference.calls == []
    assert world.retrieval.searches == []
    assert world.retrieval.written == {}
    assert world.quota.spent == []
    assert world.blobs.reads == []
    assert len(world.vectors._kept) == len(world.cache._kept) == 0


async def test_a_batch_embeds_nothing_that_must_be_refused() -> None:
    """A query that names a collection outside this router's wall is refused before its text goes to a model."""
    world = World(EU)
    with pytest.raises(ExceptionGroup) as refused:
        await world.ask(query("axis 0"), query("the secret one", collections=("states",)))
    assert isinstance(errors.first_domain_error(refused.value), errors.ResidencyRouterOutside)
    assert "the secret one" not in world.inference.queries


async def test_a_named_collection_outside_is_refused_before_it_is_embedded() -> None:
    """Also alone."""
    world = World(EU)
    with pytest.raises(errors.ResidencyRouterOutside):
        await world.ask(query("the secret one", collections=("states",)))
    assert world.inference.calls == []
    assert world.quota.charged == 0


async def test_the_wall_is_what_tenant_and_all_collections_allow() -> None:
    """Their intersection."""
    gate = (await enter(World())).snapshot
    opened = await enter(World())
    both, europe = gate.collection(TENANT, "both"), gate.collection(TENANT, "europe")
    assert both is not None
    assert europe is not None
    assert gates.wall(opened, ()) == {"us", "eu"}
    assert gates.wall(opened, (both,)) == {"us", "eu"}
    assert gates.wall(opened, (both, europe)) == {"eu"}


async def test_inference_and_rerank_stay_behind_the_collections_wall() -> None:
    """A query over {us, eu} and {eu} is embedded and reranked in the EU alone, even if nobody there can."""
    world = World(EU)
    down = {EU: errors.BackendUnavailable(), NORTH: errors.BackendUnavailable()}
    world.inference.failing = world.rerank.failing = dict(down)
    await world.ask_one(query("x", collections=("both", "europe"), rerank=True))
    assert {region for region, _, _ in world.inference.calls} == {EU, NORTH}
    assert {region for region, _, _ in world.rerank.calls} == {EU, NORTH}
    await world.ask_one(query("y", collections=("both",), rerank=True))
    assert US in {region for region, _, _ in world.inference.calls}


async def test_a_token_of_a_later_map_is_waited_for_and_then_refused() -> None:
    """Never answered from the older one."""
    world = World()
    behind = encode(world.map.snapshot.epoch, world.map.snapshot.revision + 1)
    with pytest.raises(errors.StaleMap):
        await enter(world, map_token=behind, left_s=0.05)
    token = world.map.put(maps.region(AP, "apac", **endpoints(AP)))
    assert (await enter(world, map_token=token)).snapshot.revision == world.map.snapshot.revision


async def test_garbage_is_no_map_token() -> None:
    """Nor is one of another epoch."""
    for token in (b"garbage", encode(b"\x09another", 1)):
        with pytest.raises(errors.MapTokenInvalid):
            await enter(World(), map_token=token)
