"""Regions are watched and probed: one that dies, freezes or comes back is noticed without a failed call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.routing.backends import Region, open_region
from tests.integration.routing.conftest import OpenFrontDoor
from tests.integration.routing.front_door import EU, JURISDICTIONS, US, FrontDoor
from tests.integration.routing.test_hops import degradations, eventually, outcomes, upsert

from trunkline_map import testing as maps
from trunkline_map.entries import RegionEntry, RegionState
from trunkline_map.testing import StaticMap, static_map
from trunkline_mesh import errors
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.request import DRAINING_KEY
from trunkline_mesh.stall import StallDetector
from trunkline_routing.edge.app import SERVICE
from trunkline_routing.edge.region_probe import RegionProber
from trunkline_routing.edge.region_view import RegionView

BOTH: dict[str, Any] = {"collections": ["both"], "rerank": {"disabled": True}}


@pytest.fixture
async def probing(fresh: OpenFrontDoor) -> FrontDoor:
    """A front door in the EU that has heard of every region, each behind a proxy."""
    opened = await fresh(probing=True, proxied=True)
    await eventually(lambda: all(opened.view.round_trip_s(name) is not None for name in JURISDICTIONS))
    return opened


async def test_a_dead_region_is_skipped_and_used_again_as_soon_as_it_answers(probing: FrontDoor) -> None:
    """No breaker opens, however many calls are made meanwhile."""
    proxy = probing.proxies[EU]
    proxy.faults.refuse = True
    await proxy.cut()
    await eventually(lambda: probing.view.is_out(EU))
    for _ in range(10):
        answer = await probing.search(**BOTH)
        assert outcomes(answer.response.trail) == [(EU, "SKIPPED_HEALTH"), (US, "SERVED")]
    refused = await probing.search(collections=["europe"])
    assert refused.reason == "NO_ALLOWED_REGION", "tried after all, and refused by nobody but the region"
    proxy.faults.refuse = False
    await eventually(lambda: not probing.view.is_out(EU), within_s=10.0)
    answer = await probing.search(**BOTH)
    assert outcomes(answer.response.trail) == [(EU, "SERVED")]
    assert probing.breakers.open_names() == ()


async def test_a_frozen_region_is_noticed_by_its_silence(probing: FrontDoor) -> None:
    """Nothing is refused and nothing breaks: checks are not answered."""
    probing.proxies[EU].open_hole()
    await eventually(lambda: probing.view.is_out(EU), within_s=15.0)
    answer = await probing.search(**BOTH)
    assert outcomes(answer.response.trail) == [(EU, "SKIPPED_HEALTH"), (US, "SERVED")]
    probing.proxies[EU].heal()
    await eventually(lambda: not probing.view.is_out(EU), within_s=15.0)


async def test_a_region_that_says_not_serving_is_believed_at_once(probing: FrontDoor) -> None:
    """And so when it serves again; the trail tells what was known of it."""
    region = probing.regions[EU]
    region.tell(serving=False)
    await eventually(lambda: probing.view.is_out(EU))
    answer = await probing.search(explain=True, **BOTH)
    assert degradations(answer.response.trail) == {"SERVED_FROM_OTHER_REGION": "both"}
    served = answer.response.trail.collections[0].attempts[-1]
    assert served.HasField("round_trip")
    assert served.HasField("pressure")
    region.tell(serving=True)
    await eventually(lambda: not probing.view.is_out(EU))


async def test_pressure_comes_with_checks_and_keeps_moved_traffic_away(probing: FrontDoor) -> None:
    """An overload is refused as one, not moved to a region that is nearly full itself."""
    probing.regions[US].pressure = 0.95
    await eventually(lambda: probing.view.pressure(US) == 0.95)
    probing.regions[EU].refuses = {"Search": errors.Overloaded(retry_delay_s=0.3)}
    answer = await probing.search(**BOTH)
    assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert not probing.regions[US].calls("Search")
    probing.regions[US].pressure = 0.1
    await eventually(lambda: probing.view.pressure(US) == 0.1)
    assert (await probing.search(**BOTH)).code is grpc.StatusCode.OK


async def test_a_slow_round_trip_is_measured(probing: FrontDoor) -> None:
    """By checks alone."""
    before = probing.view.tier(US)
    assert before is not None
    probing.proxies[US].faults.delay_s = 0.1
    await eventually(lambda: (probing.view.tier(US) or 0) > before, within_s=20.0)
    assert (probing.view.round_trip_s(US) or 0.0) > 0.05


async def test_a_store_that_fails_moves_its_collection_alone(fresh: OpenFrontDoor) -> None:
    """One call for a region; the collection that failed in it goes on, the other stays."""
    front_door = await fresh()
    front_door.regions[EU].broken = {"both": errors.BackendUnavailable()}
    answer = await front_door.search(collections=["both", "europe"], rerank={"disabled": True})
    assert answer.code is grpc.StatusCode.OK
    assert outcomes(answer.response.trail) == [(EU, "FAILED"), (US, "SERVED"), (EU, "SERVED")]
    assert [list(one.request.collections) for one in front_door.regions[EU].calls("Search")] == [["both", "europe"]]
    assert [list(one.request.collections) for one in front_door.regions[US].calls("Search")] == [["both"]]


async def test_a_router_of_a_draining_region_says_so_and_goes_on(fresh: OpenFrontDoor) -> None:
    """Not one error: searches under way end, new ones are answered, and each answer asks to prefer another."""
    front_door = await fresh()
    stub: Any = front_door.channel.unary_unary(f"/{SERVICE}/Search")
    health = health_pb2_grpc.HealthStub(front_door.channel)

    async def state(name: str) -> int:
        answer = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        return int(answer.status)

    asked = [asyncio.ensure_future(front_door.search(**BOTH)) for _ in range(5)]
    here = front_door.regions[EU]
    front_door.map.put(_in_state(front_door.map, EU, RegionState.DRAINING))
    assert all(answer.code is grpc.StatusCode.OK for answer in await asyncio.gather(*asked))
    answer = await front_door.search(**BOTH)
    assert outcomes(answer.response.trail) == [(EU, "SKIPPED_STATE"), (US, "SERVED")]
    assert degradations(answer.response.trail) == {"SERVED_FROM_OTHER_REGION": "both"}
    call = stub(b"", timeout=5)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    assert dict(refused.value.trailing_metadata())[DRAINING_KEY] == "1"
    await _until(lambda: state(SERVICE), health_pb2.HealthCheckResponse.NOT_SERVING)
    assert await state("") == health_pb2.HealthCheckResponse.SERVING
    written = await front_door.call("Upsert", upsert())
    assert written.code is grpc.StatusCode.OK, "writes go on to a draining region"
    assert here.calls("Upsert")
    front_door.map.put(_in_state(front_door.map, EU, RegionState.SERVING))
    await _until(lambda: state(SERVICE), health_pb2.HealthCheckResponse.SERVING)


async def _until(asked: Callable[[], Awaitable[int]], wanted: int) -> None:
    async with asyncio.timeout(5):
        while await asked() != wanted:  # noqa: ASYNC110 - the condition is another server's
            await asyncio.sleep(0.02)


def _in_state(source: StaticMap, name: str, state: RegionState) -> RegionEntry:
    region = source.snapshot.region(name)
    assert region is not None
    return replace(region, state=state)


@asynccontextmanager
async def prober(
    source: StaticMap, stalls: StallDetector | None = None
) -> AsyncIterator[tuple[RegionProber, RegionView]]:
    """A prober of its own, stopped at the end."""
    async with AsyncExitStack() as stack:
        view, channels = RegionView(), await stack.enter_async_context(ChannelPool())
        made = RegionProber(source, channels, view, stalls=stalls or StallDetector())
        task = await stack.enter_async_context(background(made.run()))
        yield made, view
        task.cancel()
        await asyncio.wait([task])
        assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("probe-")]


def placed(region: Region, *, state: RegionState = RegionState.SERVING) -> RegionEntry:
    return maps.region(region.name, "eu", state=state, retrieval=region.address)


async def test_probes_follow_the_map() -> None:
    """Regions come, move, go down and go; nothing is left behind at the end."""
    async with open_region("one") as one, open_region("two") as two:
        source = static_map(placed(one))
        async with prober(source) as (made, view):
            await eventually(lambda: view.heard("one"))
            source.put(placed(two))
            await eventually(lambda: view.heard("two"))
            source.put(maps.region("two", "eu", retrieval="127.0.0.1:1"))
            await eventually(lambda: view.is_out("two"))
            source.put(placed(two))
            await eventually(lambda: not view.is_out("two"), within_s=10.0)
            source.put(placed(two, state=RegionState.DOWN))
            await eventually(lambda: made.probed == {"one"})
            assert not view.heard("two")
            source.remove(maps.region("one", "eu").key)
            await eventually(lambda: made.probed == frozenset())


class AlwaysAsleep(StallDetector):
    """Says of everything that this process slept meanwhile."""

    def excuses(self, started_s: float) -> bool:
        return True


async def test_a_stall_of_our_own_is_no_silence_of_theirs() -> None:
    """What broke or went unanswered while this process slept speaks against nobody."""
    async with open_region("one") as one:
        source = static_map(placed(one))
        async with prober(source, AlwaysAsleep()) as (_, view):
            await eventually(lambda: view.heard("one"))
            assert one.server is not None
            await one.server.stop(0)
            await asyncio.sleep(2.5)
            assert not view.is_out("one")
