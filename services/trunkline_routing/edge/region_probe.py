"""Asks every region of the map how it is: a health watch, and a check about every second. Carries no tenant's data."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline_map.entries import RegionEntry, RegionState
from trunkline_map.source import MapSource
from trunkline_mesh.background import background
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import MapNotReady
from trunkline_mesh.logs import get_logger
from trunkline_mesh.stall import PROCESS_STALLS, StallDetector
from trunkline_mesh.trailers import peer_state
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.targets import Stubs

SERVICE: Final = "trunkline.retrieval.v1.RetrievalService"
FOLLOW_S: Final = 0.25
"""How often the map is looked at for regions that came, went or moved."""
CHECK_EVERY_S: Final = 1.0
CHECK_TIMEOUT_S: Final = 1.0
CHECK_GAP_S: Final = 0.1
"""Checks follow one another no sooner, also when a stream breaks again and again."""
WATCH_AGAIN_S: Final = 1.0
"""A watch that broke is opened anew after about so long; checks tell meanwhile."""
WATCH_LIFE_S: Final = 20.0
"""A watch is renewed after about so long, before servers that retire old connections would break it."""
MAX_REGIONS: Final = 32
"""Regions that are probed; the others count as usable until calls to them fail."""

log = get_logger("regions")

_NO_HEALTH: Final = frozenset({grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.NOT_FOUND})
"""Answers of a server that lives but keeps no such health."""


class RegionProber:
    """Feeds a RegionView for as long as `run` runs."""

    def __init__(
        self,
        source: MapSource,
        channels: ChannelPool,
        view: RegionView,
        *,
        clock: Clock = MONOTONIC,
        stalls: StallDetector = PROCESS_STALLS,
        rng: random.Random | None = None,
    ) -> None:
        """Follow `source`; call over `channels`. `stalls` tells when this process slept itself: that is no silence."""
        self._source = source
        self._view = view
        self._clock = clock
        self._stalls = stalls
        self._rng = rng or random.Random()  # noqa: S311 - it spreads probes, it keeps no secret
        self._stubs = Stubs(channels, health_pb2_grpc.HealthStub)
        self._probes: dict[str, tuple[tuple[str, ...], asyncio.Task[None]]] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Probe the map's regions until cancelled; every probe has ended then."""
        try:
            while True:
                self._follow()
                await asyncio.sleep(FOLLOW_S)
        finally:
            for region_id, (_, task) in self._probes.items():
                self._end(region_id, task)
            await asyncio.gather(*self._ending, return_exceptions=True)

    @property
    def probed(self) -> frozenset[str]:
        """The regions that are probed now."""
        return frozenset(self._probes)

    def _follow(self) -> None:
        """Begin and end probes, so that they are those of the map. One that failed is begun anew."""
        try:
            regions = self._source.snapshot.regions()
        except MapNotReady:
            return
        wanted = {region.region_id: region.retrieval_endpoints for region in _probed(regions)}
        for region_id, (endpoints, task) in list(self._probes.items()):
            if wanted.get(region_id) != endpoints or task.done():
                del self._probes[region_id]
                self._end(region_id, task)
        self._view.forget_others(self._probes)
        for region_id, endpoints in wanted.items():
            if region_id not in self._probes:
                task = asyncio.create_task(self._probe(region_id, endpoints), name=f"probe-{region_id}")
                self._probes[region_id] = (endpoints, task)

    def _end(self, region_id: str, task: asyncio.Task[None]) -> None:
        """Cancel a probe, and remember it until it has ended; one that failed is logged."""
        if task.done() and not task.cancelled() and task.exception() is not None:
            log.error("probe ended", name=region_id, error_type=type(task.exception()).__name__)
        task.cancel()
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _probe(self, region_id: str, endpoints: tuple[str, ...]) -> None:
        wake = asyncio.Event()
        async with background(self._watch_always(region_id, endpoints, wake)):
            while True:
                began_s = self._clock()
                wake.clear()
                await self._check(region_id, endpoints)
                pause_s = CHECK_EVERY_S * self._rng.uniform(0.8, 1.2) - (self._clock() - began_s)
                await asyncio.sleep(CHECK_GAP_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, pause_s - CHECK_GAP_S)):
                        await wake.wait()

    async def _check(self, region_id: str, endpoints: tuple[str, ...]) -> None:
        """Ask once. Waits for a connection, so that a region that comes back is noticed as soon as it can be."""
        stub = self._stubs.of(endpoints)
        began_s = self._clock()
        request = health_pb2.HealthCheckRequest(service=SERVICE)
        try:
            pending = stub.Check(request, timeout=CHECK_TIMEOUT_S, wait_for_ready=True)
            answer = await pending
            self._view.pressed(region_id, peer_state(await pending.trailing_metadata()).pressure)
            self._told(region_id, answer, began_s)
        except grpc.aio.AioRpcError as error:
            if error.code() in _NO_HEALTH:
                self._view.answered(region_id, serving=True, took_s=self._clock() - began_s)
            elif not self._stalls.excuses(began_s):
                self._view.missed(region_id)

    def _told(self, region_id: str, answer: Any, began_s: float | None = None) -> None:
        serving = answer.status != health_pb2.HealthCheckResponse.NOT_SERVING
        slept = began_s is None or self._stalls.excuses(began_s)
        took_s = None if began_s is None or slept else self._clock() - began_s
        self._view.answered(region_id, serving=serving, took_s=took_s)

    async def _watch_always(self, region_id: str, endpoints: tuple[str, ...], wake: asyncio.Event) -> None:
        """Watch, renew, watch again; a break counts at once, and wakes the check that decides."""
        alive = True
        while alive:
            began_s, told = self._clock(), False
            try:
                async for answer in self._watch(endpoints):
                    told = True
                    self._told(region_id, answer)
                    if self._view.is_out(region_id):
                        wake.set()  # another replica may serve
            except grpc.aio.AioRpcError as error:
                alive = error.code() not in _NO_HEALTH
                if alive:
                    self._broken(region_id, told)
                    wake.set()
            if self._clock() - began_s < WATCH_LIFE_S / 2:
                await asyncio.sleep(WATCH_AGAIN_S * self._rng.uniform(0.5, 1.0))

    def _broken(self, region_id: str, told: bool) -> None:
        """A stream broke, or could not be opened: that says something unless checks are answered all the while."""
        if (told or not self._view.heard(region_id)) and not self._stalls.excuses(self._clock()):
            self._view.broke(region_id)

    async def _watch(self, endpoints: tuple[str, ...]) -> AsyncIterator[Any]:
        """Yield what a region tells, until the watch is due to be renewed. Raises AioRpcError when it breaks."""
        stream = self._stubs.of(endpoints).Watch(health_pb2.HealthCheckRequest(service=SERVICE))
        due_s = self._clock() + WATCH_LIFE_S * self._rng.uniform(0.8, 1.2)
        try:
            while True:
                async with asyncio.timeout(max(0.0, due_s - self._clock())):
                    answer = await stream.read()
                if answer is grpc.aio.EOF:
                    return
                yield answer
        except TimeoutError:
            return
        finally:
            stream.cancel()


def _probed(regions: tuple[RegionEntry, ...]) -> list[RegionEntry]:
    """Regions that are down by the map take no traffic, whatever they say."""
    asked = (one for one in regions if one.state is not RegionState.DOWN and one.retrieval_endpoints)
    return sorted(asked, key=lambda region: region.region_id)[:MAX_REGIONS]
