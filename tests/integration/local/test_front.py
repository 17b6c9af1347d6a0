"""Callers with bare stubs behind a real Envoy, while regions die, freeze and drain."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest
from tests.fixtures.servers import unavailable
from tests.integration.client.router_process import RouterProcess, router_processes

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_local.binaries import find_envoy
from trunkline_local.errors import BinaryMissingError
from trunkline_local.front import Front, start_front
from trunkline_local.front_cluster import FrontRegion
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import eventually

_ROOT = Path(__file__).parents[3]
_DEADLINE_S = 2.0
_EVERY_S = 0.05
_BEARER = ("authorization", "Bearer jwt-that-no-log-may-hold")


@dataclass
class Callers:
    """Calls of a bare stub through the front door."""

    search_stub: grpc.aio.UnaryUnaryMultiCallable[routing_pb.SearchRequest, routing_pb.SearchResponse]
    answers: list[tuple[float, str]] = field(default_factory=list)
    """When each was asked, by the monotonic clock, and the region that answered."""
    errors: list[grpc.aio.AioRpcError] = field(default_factory=list)
    _answered: asyncio.Event = field(default_factory=asyncio.Event)

    async def search(self, *metadata: tuple[str, str], deadline_s: float = _DEADLINE_S) -> str:
        """Ask once; return the region that answered."""
        request = routing_pb.SearchRequest(text="text that no log may hold")
        response = await self.search_stub(request, timeout=deadline_s, metadata=(_BEARER, *metadata))
        return response.trail.router_region

    async def answered_by(self, region: str, *metadata: tuple[str, str]) -> bool:
        """Ask once; tell whether that region answered."""
        return await self.search(*metadata) == region

    async def steady(self, until: Callable[[], Awaitable[object]]) -> None:
        """Ask every 50 ms, whatever became of the calls before, until `until` returns."""
        async with asyncio.TaskGroup() as calls:
            forever = calls.create_task(self._forever(calls))
            await until()
            forever.cancel()

    async def until_answered_by(self, region: str) -> float:
        """Wait until a call that is asked from now on is answered there; return the seconds that took."""
        began_s = time.monotonic()
        async with asyncio.timeout(35):
            while not any(at_s >= began_s and found == region for at_s, found in reversed(self.answers)):
                self._answered.clear()
                await self._answered.wait()
        return time.monotonic() - began_s

    def regions(self, since_s: float) -> Counter[str]:
        """Return who answered what was asked since then."""
        return Counter(found for at_s, found in self.answers if at_s >= since_s)

    async def _forever(self, calls: asyncio.TaskGroup) -> None:
        while True:
            calls.create_task(self._ask())
            await asyncio.sleep(_EVERY_S)

    async def _ask(self) -> None:
        asked_s = time.monotonic()
        try:
            self.answers.append((asked_s, await self.search()))
        except grpc.aio.AioRpcError as error:
            self.errors.append(error)
        self._answered.set()


@asynccontextmanager
async def _front(
    host: ProcessHost, ports: PortAllocator, folder: Path, routers: Sequence[RouterProcess]
) -> AsyncIterator[tuple[Front, Callers]]:
    regions = [
        FrontRegion(region_id=each.region, jurisdiction=each.region.partition("-")[0], routers=(each.target,))
        for each in routers
    ]
    try:
        front = await start_front(host, ports, folder, regions)
    except BinaryMissingError as exc:
        unavailable(exc)
    try:
        async with grpc.aio.insecure_channel(front.endpoint) as channel:
            callers = Callers(routing_grpc.RoutingServiceStub(channel).Search)
            # A machine that is busy may miss the first health checks.
            assert await eventually(lambda: callers.answered_by("eu-west"), within_s=30.0)
            yield front, callers
    finally:
        await front.child.stop()


@pytest.fixture
async def routers() -> AsyncIterator[list[RouterProcess]]:
    async with router_processes("eu-west", "us-east", "ap-south") as started:
        yield started


def test_envoy_takes_the_file_in_the_tree_without_a_word() -> None:
    """No complaint and no warning, such as of what is about to be removed from Envoy."""
    try:
        envoy = find_envoy()
    except BinaryMissingError as exc:
        unavailable(exc)
    done = subprocess.run(
        [envoy, "--mode", "validate", "--log-level", "warning", "-c", _ROOT / "deploy" / "envoy" / "front.yaml"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("fault", ["kill", "pause"])
async def test_no_read_fails_when_the_nearest_region_does(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path, routers: list[RouterProcess], fault: str
) -> None:
    """The next region answers within the deadline, soon without a second try, and the first is used once it is back."""
    near = routers[0]
    async with _front(process_host, port_allocator, tmp_path, routers) as (front, callers):

        async def story() -> None:
            await callers.until_answered_by("eu-west")
            await (near.kill() if fault == "kill" else _pause(near))
            first_good_s = await callers.until_answered_by("us-east")
            assert await eventually(lambda: _left(front, near.target), within_s=30.0)
            settled_s = time.monotonic()
            await asyncio.sleep(1.0)
            assert set(callers.regions(settled_s)) == {"us-east"}
            await (near.start() if fault == "kill" else _resume(near))
            back_s = await callers.until_answered_by("eu-west")
            print(f"{fault}: first good {first_good_s:.2f} s, back in use {back_s:.2f} s")  # pytest -s shows it

        await callers.steady(story)
        assert callers.errors == []


async def test_draining_regions_are_left_and_all_of_them_are_used(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path, routers: list[RouterProcess]
) -> None:
    """Traffic moves by the health name, calls under way finish, and where every region drains all serve on."""
    async with _front(process_host, port_allocator, tmp_path, routers) as (_, callers):

        async def story() -> None:
            await routers[0].order("delay 0.5")
            await callers.until_answered_by("eu-west")
            await routers[0].order("drain")
            await callers.until_answered_by("us-east")
            await routers[1].order("drain")
            await callers.until_answered_by("ap-south")
            await routers[2].order("drain")
            await callers.until_answered_by("us-east")
            await routers[0].order("serve")
            await callers.until_answered_by("eu-west")

        await callers.steady(story)
        assert callers.errors == []


async def test_a_call_may_be_kept_inside_a_jurisdiction(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path, routers: list[RouterProcess]
) -> None:
    """With the metadata the query's text reaches no router of another one, not even when none of its own is left."""
    async with _front(process_host, port_allocator, tmp_path, routers) as (_, callers):
        inside = ("trunkline-jurisdiction", "us")
        assert await eventually(lambda: callers.answered_by("us-east", inside), within_s=30.0)
        assert await callers.search() == "eu-west"
        await routers[1].kill()
        with pytest.raises(grpc.aio.AioRpcError) as lost:
            await callers.search(inside)
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await callers.search(("trunkline-jurisdiction", "mars"))

    assert lost.value.code() is grpc.StatusCode.UNAVAILABLE
    assert unknown.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_the_log_tells_calls_and_no_secrets(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path, routers: list[RouterProcess]
) -> None:
    """A line a call with its method, status and router; neither text nor credential. Other services are not let in."""
    async with _front(process_host, port_allocator, tmp_path, routers) as (front, callers):
        await callers.search(("trunkline-request-id", "req-7"))
        async with grpc.aio.insecure_channel(front.endpoint) as channel:
            foreign: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
                "/trunkline.control.v1.RegionService/ListRegions"
            )
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await foreign(b"", timeout=10)
        log_path = front.child.command.log_path

    text = log_path.read_text()  # Envoy writes what it buffered when it ends
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    [line] = [line for line in lines if line["request_id"] == "req-7"]
    assert line["method"] == "/trunkline.routing.v1.RoutingService/Search"
    assert line["router"] == routers[0].target
    assert "no log may hold" not in text
    assert "no-log-may-hold" not in text
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def _left(front: Front, target: str) -> bool:
    """Tell whether Envoy has taken a router out."""
    page = await asyncio.to_thread(_read, f"http://{front.admin}/clusters")
    return f"routers::{target}::health_flags::healthy" not in page


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=1.0) as answer:
        text: str = answer.read().decode()
    return text


async def _pause(router: RouterProcess) -> None:
    router.pause()


async def _resume(router: RouterProcess) -> None:
    router.resume()
