"""Leases of this region at the other regions' admission services, one stream to each, opened when it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_lease.asks import AskKeeper
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.opening import Credential
from trunkline_lease.options import LeaseOptions
from trunkline_lease.stream import LeaseCall, LeaseStream
from trunkline_map.source import MapSource
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger

REGION_KEY: Final = "trunkline-lease-region"
"""Metadata of a Lease stream between admission services: the region that asks. It gets grants that live longer."""

_LOG: Final = get_logger("admission.region_leases")


def region_options(valid_s: float) -> LeaseOptions:
    """Return options for leases between regions, whose grants live `valid_s`: larger, and given back before they end.

    A refill aims at a sixth of the life, so that one round trip between continents never empties it.
    """
    return LeaseOptions(
        first_ask_requests=10,
        first_ask_tokens=50,
        horizon_s=valid_s / 6,
        rate_floor_s=0.25,
        ask_pace_s=0.1,
        return_margin_s=min(2.0, valid_s / 4),
        stuck_s=2.0,
    )


class RegionLeases:
    """A `LeaseHolder` for each region that keeps the quota of a tenant asked for here: at most as many as there are."""

    def __init__(
        self,
        region_id: str,
        source: MapSource,
        channels: ChannelPool,
        credential: Credential,
        options: LeaseOptions,
        clock: Clock = MONOTONIC,
    ) -> None:
        """Hold nothing yet. `credential` is this service's own; `channels` stay the caller's."""
        self._region_id = region_id
        self._source = source
        self._channels = channels
        self._credential = credential
        self._options = options
        self._clock = clock
        self._holders: dict[str, LeaseHolder] = {}
        self._running: dict[str, asyncio.Future[None]] = {}

    def at(self, home: str) -> LeaseHolder:
        """Return the holder of leases at region `home`; make it run if it is new."""
        holder = self._holders.get(home)
        if holder is None:

            def stream(keeper: AskKeeper) -> LeaseStream:
                return LeaseStream(self._opener(home), keeper, self._options, self._clock)

            holder = self._holders[home] = LeaseHolder(stream, self._options, self._clock)
            self._running[home] = asyncio.ensure_future(holder.run())
            self._running[home].add_done_callback(_log_failure)
        return holder

    async def aclose(self) -> None:
        """Give back what is held, within `close_timeout_s`."""
        for holder in self._holders.values():
            holder.return_all()
        running = list(self._running.values())
        if running:
            await asyncio.wait(running, timeout=self._options.close_timeout_s)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _opener(self, home: str) -> Callable[[], LeaseCall]:
        def open_call() -> LeaseCall:
            # By the map of now: a region's endpoints may have moved since the last stream.
            try:
                region = self._source.snapshot.region(home)
            except DomainError as exc:
                raise OSError("there is no map") from exc
            if region is None or not region.admission_endpoints:
                raise OSError("the region has no admission service")
            stub = admission_grpc.AdmissionServiceStub(self._channels.get(",".join(region.admission_endpoints)))
            return stub.Lease(metadata=(*self._credential(), (REGION_KEY, self._region_id)))

        return open_call


@asynccontextmanager
async def open_region_leases(
    region_id: str,
    source: MapSource,
    channels: ChannelPool,
    credential: Credential,
    options: LeaseOptions,
) -> AsyncIterator[RegionLeases]:
    """Open leases at other regions; give back what is held at the end."""
    leases = RegionLeases(region_id, source, channels, credential, options)
    try:
        yield leases
    finally:
        await leases.aclose()


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _LOG.error("region lease ended", error_type=type(task.exception()).__name__, exc_info=task.exception())
