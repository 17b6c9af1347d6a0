"""Streams of the control role: where to open one, and how a watch goes on after a break without a gap or a repeat."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Final, TypeVar

import grpc

from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import collection_map_service_pb2 as collections_pb
from trunkline.control.v1 import region_service_pb2 as regions_pb
from trunkline.control.v1 import space_service_pb2 as spaces_pb
from trunkline.control.v1 import tenant_service_pb2 as tenants_pb
from trunkline_client.context import Context
from trunkline_client.control_methods import StreamMethod
from trunkline_client.errors import TrunklineError, error_class
from trunkline_client.failure import Failure, read_failure
from trunkline_client.methods import RequestT, ResponseT
from trunkline_client.requests import new_request_id
from trunkline_client.router import Router, wait_connected

WATCH_PATIENCE_S: Final = 120.0
"""A watch that heard nothing for so long, in spite of every try, gives up. Signs of life come every 30 s."""

WATCH_WITHIN_S: Final = 3700.0
"""The contract ends a watch's stream after an hour; one that outlives this is taken for broken."""

_FIRST_PAUSE_S: Final = 0.1
_MAX_PAUSE_S: Final = 5.0

_BROKEN: Final = frozenset({"UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED"})
"""What a stream ends with that its server did not end: nothing is said against another one."""

EventSource = Callable[[bytes], AsyncGenerator[changes_pb.MapEvent, None]]
"""Opens one stream of events that goes on from a token; from an empty one it begins with all that is there."""


async def stream(
    context: Context, method: StreamMethod[RequestT, ResponseT], request: RequestT, *, within_s: float
) -> AsyncGenerator[ResponseT, None]:
    """Yield what one stream tells, from the first router that can be connected. Raises TrunklineError.

    A stream that breaks is not begun again here: what was told cannot be taken back.
    """
    request_id = new_request_id(None)
    router = await _connected(context, method.name, request_id)
    metadata = (
        ("authorization", f"Bearer {await context.credential.token()}"),
        ("trunkline-request-id", request_id),
        ("trunkline-attempt", "1"),
    )
    call = method.bind(router.channel)(request, timeout=within_s, metadata=metadata)
    try:
        async for response in call:
            yield response
    except grpc.aio.AioRpcError as exc:
        failure = read_failure(exc)
        if failure.is_transport:
            context.pool.failed(router)
        raise _error(failure, request_id) from exc
    finally:
        call.cancel()


async def _connected(context: Context, method_name: str, request_id: str) -> Router:
    for router in context.pool.ordered(method_name):
        if router.ready or await wait_connected(
            router.channel, context.settings.connect_timeout_s, stop_at_failure=False
        ):
            context.pool.answered(router)
            return router
        context.pool.failed(router)
    raise _error(Failure("", "UNAVAILABLE", "no router can be connected"), request_id)


def _error(failure: Failure, request_id: str) -> TrunklineError:
    return error_class(failure.reason, failure.status)(failure, request_id=request_id)


TellsT = TypeVar(
    "TellsT",
    collections_pb.WatchCollectionsResponse,
    regions_pb.WatchRegionsResponse,
    spaces_pb.WatchSpacesResponse,
    tenants_pb.WatchTenantsResponse,
)
"""What a watch's stream tells: each has one event."""


async def events(
    context: Context, method: StreamMethod[RequestT, TellsT], request: RequestT
) -> AsyncGenerator[changes_pb.MapEvent, None]:
    """Yield the events of one watch's stream. Raises as `stream`."""
    async with aclosing(stream(context, method, request, within_s=WATCH_WITHIN_S)) as responses:
        async for response in responses:
            yield response.event


async def resuming(
    source: EventSource, map_token: bytes, *, patience_s: float = WATCH_PATIENCE_S
) -> AsyncGenerator[changes_pb.MapEvent, None]:
    """Yield events from `map_token` on, over broken and ended streams, none left out and none twice.

    Without a token it begins with all that is there, held back until it is whole: a stream that breaks before that is
    begun anew. Raises TrunklineError for a refusal that a repeat does not cure (PAGE_EXPIRED, MAP_TOKEN_INVALID, ...)
    and where nothing was heard for `patience_s`.
    """
    place = _Place(map_token)
    heard_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
    while True:
        try:
            place.begin()
            async with aclosing(source(place.settled)) as events:
                async for event in events:
                    heard_s, pause_s = time.monotonic(), _FIRST_PAUSE_S
                    for told in place.take(event):
                        yield told
        except TrunklineError as exc:
            if not _may_go_on(exc) or time.monotonic() - heard_s >= patience_s:
                raise
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2.0, _MAX_PAUSE_S)


def _may_go_on(error: TrunklineError) -> bool:
    return error.retryable or (not error.reason and error.status in _BROKEN)


class _Place:
    """Where a watch is. Changes made together share a token, so it is settled only when a later one is heard."""

    def __init__(self, map_token: bytes) -> None:
        self.settled = map_token
        self._current = map_token
        self._told: set[bytes] = set()
        self._start: list[changes_pb.MapEvent] | None = None

    def begin(self) -> None:
        """A stream begins from `settled`."""
        self._start = None if self.settled else []

    def take(self, event: changes_pb.MapEvent) -> list[changes_pb.MapEvent]:
        """Return what of an event, and of those held back, is to be told now."""
        if self._start is not None:
            self._start.append(event)
            if not event.caught_up:
                return []
            told, self._start = self._start, None
            self.settled = self._current = event.map_token
            return told
        if event.map_token != self._current:
            self.settled, self._current = self._current, event.map_token
            self._told.clear()
        if event.caught_up:
            self.settled = event.map_token
            return [event]
        name = event.SerializeToString(deterministic=True)
        if name in self._told:
            return []
        self._told.add(name)
        return [event]
