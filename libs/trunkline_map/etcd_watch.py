"""One watch stream of etcd, as signals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from aetcd import rpc

from trunkline_map.store import Changes, Event, Progress, Signal, Started, StoreUnavailableError, WatchCanceledError

WRITE_TIMEOUT_S: Final = 5.0
"""Bound of handing a request to the transport, which waits while a connection is being made."""

_REQUESTED_ID: Final = -1
"""Watch id in answers to a progress request, which speak of the whole stream."""


class EtcdWatch:
    """An open stream with one watch on it.

    Requests are written with `call.write()`: a parked request generator is left pending when a stream breaks.
    """

    def __init__(self, call: Any) -> None:
        """Take over `call`, whose create request was written."""
        self._call = call

    async def write(self, request: Any) -> None:
        """Send a request. Raises StoreUnavailableError if the stream is broken or stuck."""
        try:
            async with asyncio.timeout(WRITE_TIMEOUT_S):
                await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TimeoutError) as exc:
            raise StoreUnavailableError("the watch stream is broken") from exc
        except asyncio.CancelledError as exc:
            self._raise_if_own(exc)
            raise

    async def request_progress(self) -> None:
        """As `Watch.request_progress`."""
        await self.write(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))

    def abort(self) -> None:
        """As `Watch.abort`."""
        self._call.cancel()

    async def __aiter__(self) -> AsyncIterator[Signal]:
        """As `Watch.__aiter__`."""
        fragments: list[Event] = []
        while True:
            response = await self._next()
            if response.canceled or response.compact_revision:
                raise WatchCanceledError("the control store ended the watch")
            if response.created:
                yield Started(response.header.revision)
            fragments += (_event(event) for event in response.events)
            if response.fragment:
                continue  # a revision may be divided: hand on whole revisions only
            if fragments:
                yield Changes(tuple(fragments))
                fragments.clear()
            elif not response.created:
                yield Progress(response.header.revision, response.watch_id == _REQUESTED_ID)

    async def _next(self) -> Any:
        try:
            response = await self._call.read()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as exc:
            raise StoreUnavailableError("the watch stream broke") from exc
        except asyncio.CancelledError as exc:
            self._raise_if_own(exc)
            raise
        if response is grpc.aio.EOF:
            raise StoreUnavailableError("the watch stream ended")
        return response

    def _raise_if_own(self, exc: asyncio.CancelledError) -> None:
        """A call that was cancelled here raises CancelledError, which must not look like our task's cancellation.

        gRPC also cancels the call itself when a writer of it is cancelled, so what `abort` was told does not decide.
        """
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise StoreUnavailableError("the watch stream was given up") from exc


async def open_watch(call: Any, create: Any) -> EtcdWatch:
    """Send the create request on a new stream. Raises StoreUnavailableError; the stream is closed then."""
    watch = EtcdWatch(call)
    try:
        await watch.write(create)
    except BaseException:
        watch.abort()
        raise
    return watch


def _event(event: Any) -> Event:
    kv = event.kv
    return Event(kv.key, kv.value if event.type == 0 else None, kv.mod_revision)
