"""A service for testing the runtime: four shapes of one method, whose behaviour the test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Final

import grpc
from google.protobuf import wrappers_pb2

from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.method_policy import Access, MethodPolicy

Text = wrappers_pb2.StringValue
Behaviour = Callable[[str, Any], Awaitable[str]]
"""Takes the request's text and the servicer context; returns the answer's text."""

SERVICE: Final = "trunkline.test.v1.ProbeService"
SHAPES: Final = ("Unary", "ClientStream", "ServerStream", "Bidi")
"""One method of each of gRPC's four shapes; all do the same."""
CAP_S: Final = 5.0
FLOOR_S: Final = 0.02
POLICY: Final[Mapping[str, MethodPolicy]] = {
    f"/{SERVICE}/{shape}": MethodPolicy(Access.TENANT, CAP_S, FLOOR_S) for shape in SHAPES
} | {
    f"/{SERVICE}/Operate": MethodPolicy(Access.OPERATOR, CAP_S, FLOOR_S),
    f"/{SERVICE}/Serve": MethodPolicy(Access.SERVICE, CAP_S, FLOOR_S),
    f"/{SERVICE}/Brief": MethodPolicy(Access.TENANT, 0.2, FLOOR_S),
}
"""`Unlisted` stands in no policy."""
METHODS: Final = (*SHAPES, "Operate", "Serve", "Brief", "Unlisted")


async def echo(text: str, _context: Any) -> str:
    """Answer with the request."""
    return text


class ProbeServicer:
    """Runs one behaviour for every call, and keeps a ledger of what began, ended and was cancelled."""

    def __init__(self, behaviour: Behaviour = echo) -> None:
        self.behaviour = behaviour
        self.began: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []

    async def act(self, text: str, context: Any) -> Any:
        self.began.append(text)
        try:
            answer = await self.behaviour(text, context)
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        self.ended.append(text)
        return Text(value=answer)

    async def unary(self, request: Any, context: Any) -> Any:
        return await self.act(request.value, context)

    async def client_stream(self, requests: AsyncIterator[Any], context: Any) -> Any:
        texts = [request.value async for request in requests]
        return await self.act(texts[-1], context)

    async def server_stream(self, request: Any, context: Any) -> AsyncIterator[Any]:
        yield await self.act(request.value, context)

    async def bidi(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            yield await self.act(request.value, context)


def method_handlers(servicer: ProbeServicer) -> dict[str, Any]:
    """Return what generated code would make of the servicer."""
    codec: dict[str, Any] = {
        "request_deserializer": Text.FromString,
        "response_serializer": Text.SerializeToString,
    }
    handlers: dict[str, Any] = {
        "ClientStream": grpc.stream_unary_rpc_method_handler(servicer.client_stream, **codec),
        "ServerStream": grpc.unary_stream_rpc_method_handler(servicer.server_stream, **codec),
        "Bidi": grpc.stream_stream_rpc_method_handler(servicer.bidi, **codec),
    }
    unary = grpc.unary_unary_rpc_method_handler(servicer.unary, **codec)
    return handlers | {name: unary for name in METHODS if name not in handlers}


def add_to_server(servicer: ProbeServicer, server: Any) -> None:
    """Register like generated code."""
    server.add_registered_method_handlers(SERVICE, method_handlers(servicer))


def probe_app(servicer: ProbeServicer) -> MeshApp:
    """Wrap the servicer as an application."""
    binding = ServiceBinding(SERVICE, servicer, add_to_server, POLICY)
    return MeshApp(name="probe", bindings=[binding], checks={"always": lambda: True})


async def start_naive(servicer: ProbeServicer, *, port: int = 0, options: Any = ()) -> tuple[grpc.aio.Server, int]:
    """Serve the same handlers as a plain grpc.aio server does, without stages and options of ours; return its port."""
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, method_handlers(servicer)),))
    bound_port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server, bound_port
