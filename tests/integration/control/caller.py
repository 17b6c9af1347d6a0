"""A client of the control role that tells refusals by their reason."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from trunkline.control.v1 import (
    approval_service_pb2_grpc,
    collection_map_service_pb2_grpc,
    map_service_pb2_grpc,
    policy_service_pb2_grpc,
    region_service_pb2_grpc,
    space_service_pb2_grpc,
    tenant_service_pb2_grpc,
)

Response = TypeVar("Response")


class Refused(Exception):  # noqa: N818 - a refusal is what the tests speak of
    """A call that did not succeed."""

    def __init__(self, code: grpc.StatusCode, reason: str, metadata: dict[str, str], fields: list[str]) -> None:
        super().__init__(f"{code.name} / {reason} {metadata} {fields}")
        self.code = code
        self.reason = reason
        self.metadata = metadata
        self.fields = fields


class Caller:
    """One credential on one channel."""

    def __init__(self, channel: grpc.aio.Channel, token: str | None) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()
        self.collections = collection_map_service_pb2_grpc.CollectionMapServiceStub(channel)
        self.regions = region_service_pb2_grpc.RegionServiceStub(channel)
        self.tenants = tenant_service_pb2_grpc.TenantServiceStub(channel)
        self.spaces = space_service_pb2_grpc.SpaceServiceStub(channel)
        self.approvals = approval_service_pb2_grpc.ApprovalServiceStub(channel)
        self.map = map_service_pb2_grpc.MapServiceStub(channel)
        self.policies = policy_service_pb2_grpc.PolicyServiceStub(channel)

    async def __call__(
        self, method: Callable[..., Awaitable[Response]], request: Any, *, timeout_s: float = 10.0
    ) -> Response:
        """Make a call; raise Refused."""
        try:
            return await method(request, timeout=timeout_s, metadata=self._metadata)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error

    async def stream(
        self, method: Callable[..., Any], request: Any, *, timeout_s: float = 20.0
    ) -> AsyncGenerator[Any, None]:
        """Yield what a stream tells; raise Refused."""
        call = method(request, timeout=timeout_s, metadata=self._metadata)
        try:
            async for response in call:
                yield response
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from error
        finally:
            call.cancel()


def _refused(error: grpc.aio.AioRpcError) -> Refused:
    status: Any = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details if status is not None else ():
        for message in (info, bad):
            if detail.Is(message.DESCRIPTOR):
                detail.Unpack(message)
    fields = [violation.field for violation in bad.field_violations]
    return Refused(error.code(), info.reason, dict(info.metadata), fields)
