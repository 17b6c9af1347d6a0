"""grpc.health.v1.Health, with what every answer of ours carries.

The servicer of grpcio-health-checking (1.81.1) forgets its watchers of a name as soon as one of them leaves: those that
stay are told of no change any more. Routers watch each other's health, so that is replaced here.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline_mesh.trailers import AnswerTrailers

_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

_Context = grpc.aio.ServicerContext[Any, Any]


class HealthServicer(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # the package ships no types
    """Tells the states that it was given, to whoever asks and to whoever watches. One event loop owns it."""

    def __init__(self, trailers: AnswerTrailers) -> None:
        """Know no name yet."""
        self._trailers = trailers
        self._states: dict[str, health_pb2.HealthCheckResponse.ServingStatus] = {}
        self._changed = asyncio.Event()
        self._draining = False
        self._ended = False

    def set(self, name: str, status: health_pb2.HealthCheckResponse.ServingStatus) -> None:
        """Tell `status` of a name from now on; ignored once it drains."""
        if not self._draining:
            self._states[name] = status
            self._wake()

    def drain(self) -> None:
        """Say NOT_SERVING of every name, for good."""
        self._draining = True
        self._states = dict.fromkeys(self._states, _NOT_SERVING)
        self._wake()

    def end(self) -> None:
        """End every watch, each later one after its first answer: a server that stops waits for its streams."""
        self._ended = True
        self._wake()

    async def Check(  # noqa: N802 - the contract's name
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> health_pb2.HealthCheckResponse:
        """Tell the state of a name; NOT_FOUND for one that was never set, as the protocol says."""
        self._trailers.leave_on(context)
        status = self._states.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND)
        return health_pb2.HealthCheckResponse(status=status)

    async def Watch(  # noqa: N802 - as above
        self, request: health_pb2.HealthCheckRequest, context: _Context
    ) -> None:
        """Tell the state of a name now and whenever it changes, until the caller leaves or the server ends."""
        told: int | None = None
        while True:
            changed = self._changed
            status = self._states.get(request.service, _UNKNOWN)
            if status != told:
                await context.write(health_pb2.HealthCheckResponse(status=status))
                told = status
            if self._ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
