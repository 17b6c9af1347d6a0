"""The wall is built twice: a router with an older or a forged map reads nothing that the true map does not allow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.integration.retrieval.service import RetrievalService, start_service
from tests.unit.routing.world import TENANT, World, axis, query, scope

from trunkline_map import testing as maps
from trunkline_mesh import errors
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.request import Principal
from trunkline_routing.edge.retrieval_client import RetrievalClient

HERE = "eu-west"


class OnlyTo(ChannelPool):
    """Leads every call to one server."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__()
        self._only = channel

    def get(self, target: str) -> grpc.aio.Channel:
        """Return the one channel."""
        return self._only


@pytest.fixture
async def retrieval(tmp_path: Path) -> AsyncIterator[RetrievalService]:
    """The real retrieval service of one region, with the true map."""
    async with AsyncExitStack() as stack:
        yield await start_service(stack, tmp_path)


def forged(service: RetrievalService) -> World:
    """Return a router that believes what is not (any more) so, and whose calls reach the real service."""
    world = World(HERE, policy=None)
    world.map.put(
        maps.region(HERE, "eu", retrieval="a:1"),
        maps.region("us-east", "eu", retrieval="b:1"),
        *[
            maps.collection(TENANT, name, [HERE, "us-east"], ["us", "eu"])
            for name in ("far", "outside", "docs", "notes")
        ],
    )
    world.retrieval = RetrievalClient(OnlyTo(service.channel))  # type: ignore[assignment]  # the real adapter
    return world


async def ask(world: World, service: RetrievalService, *names: str, partial: bool = False) -> dict[str, int]:
    """Search with the tenant's own credential; return each collection's hits."""
    made = scope(8.0)
    token = service.issuer.token()
    made.principal = Principal("tester", TENANT, frozenset(), token, 4e9)
    asked = query("", vectors={"minilm": axis(0)}, collections=names, allow_partial=partial)
    [answer] = await world.search().run(TENANT, [asked], b"", made)
    return {one.collection: one.hit_count for one in answer.trail.collections if one.served_region}


@pytest.mark.parametrize(("name", "refusal"), [("far", errors.StaleMap), ("outside", errors.ResidencyViolation)])
async def test_a_forged_placement_reads_nothing(
    retrieval: RetrievalService, name: str, refusal: type[errors.DomainError]
) -> None:
    """Retrieval asks its own map where the collection may be, whatever the router believes."""
    with pytest.raises(errors.DomainError) as refused:
        await ask(forged(retrieval), retrieval, name)
    assert isinstance(refused.value, refusal | errors.NoAllowedRegion)


async def test_an_older_map_reads_only_what_is_still_allowed(retrieval: RetrievalService) -> None:
    """In one call the collections that moved behind another wall are refused, the others answered."""
    world = forged(retrieval)
    assert set(await ask(world, retrieval, "docs", "far", "outside", "notes", partial=True)) == {"docs", "notes"}
    retrieval.the_map.put(maps.collection(TENANT, "notes", ["us-east"], ["us"]))
    assert set(await ask(world, retrieval, "docs", "notes", partial=True)) == {"docs"}
