"""Bare calls with a credential: no client that repeats or goes elsewhere, so that every refusal is seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from trunkline.control.v1 import (
    collection_map_service_pb2_grpc,
    map_service_pb2_grpc,
    region_service_pb2_grpc,
    space_service_pb2_grpc,
    tenant_service_pb2_grpc,
)
from trunkline.routing.v1 import routing_service_pb2_grpc

ResponseT = TypeVar("ResponseT")


class RefusedError(Exception):
    """A call that did not succeed; `reason` is empty for a failure below Trunkline."""

    def __init__(self, code: str, reason: str, metadata: Mapping[str, str]) -> None:
        super().__init__(f"{code} / {reason} {dict(metadata)}")
        self.code = code
        self.reason = reason
        self.metadata = metadata


async def ask(
    method: Callable[..., Awaitable[ResponseT]], request: Any, credential: str, *, timeout_s: float
) -> ResponseT:
    """Make one call; raise RefusedError."""
    try:
        return await method(request, timeout=timeout_s, metadata=(("authorization", f"Bearer {credential}"),))
    except grpc.aio.AioRpcError as error:
        raise _refused(error) from error


class ControlStubs:
    """The control role's services on one channel, with one credential."""

    def __init__(self, channel: grpc.aio.Channel, credential: str) -> None:
        """Use `channel`, which the caller closes."""
        self._credential = credential
        self.collections: Any = collection_map_service_pb2_grpc.CollectionMapServiceStub(channel)
        self.regions: Any = region_service_pb2_grpc.RegionServiceStub(channel)
        self.tenants: Any = tenant_service_pb2_grpc.TenantServiceStub(channel)
        self.spaces: Any = space_service_pb2_grpc.SpaceServiceStub(channel)
        self.map: Any = map_service_pb2_grpc.MapServiceStub(channel)

    async def __call__(self, method: Any, request: Any, *, timeout_s: float = 10.0) -> Any:
        """Make one call; raise RefusedError."""
        return await ask(method, request, self._credential, timeout_s=timeout_s)


class RouterStubs:
    """A router on one channel, with one tenant's credential."""

    def __init__(self, channel: grpc.aio.Channel, credential: str) -> None:
        """Use `channel`, which the caller closes."""
        self._credential = credential
        self._stub: Any = routing_service_pb2_grpc.RoutingServiceStub(channel)

    async def search(self, request: Any, *, timeout_s: float) -> Any:
        """Search; raise RefusedError."""
        return await ask(self._stub.Search, request, self._credential, timeout_s=timeout_s)

    async def route(self, request: Any, *, timeout_s: float) -> Any:
        """Explain; raise RefusedError."""
        return await ask(self._stub.Route, request, self._credential, timeout_s=timeout_s)


def _refused(error: grpc.aio.AioRpcError) -> RefusedError:
    status: Any = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    fields = {violation.field: violation.description for violation in bad.field_violations}
    return RefusedError(error.code().name, info.reason, dict(info.metadata) | fields)
