"""Traces over OTLP: a collector gets one span for each hop, joined to one trace, without any content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf import wrappers_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as otlp_grpc
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.probe import SERVICE

from trunkline_mesh import calls
from trunkline_mesh.errors import Internal
from trunkline_mesh.request import current_request
from trunkline_mesh.tracing import configure_tracing, shutdown_tracing

CONTENT = "planted query text"
CALLERS_TRACE = "0af7651916cd43dd8448eb211c80319c"


class Collector(otlp_grpc.TraceServiceServicer):
    """What an OpenTelemetry collector is to an exporter."""

    def __init__(self) -> None:
        self.received: list[Any] = []

    async def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the contract's name
        self.received.append(request)
        return otlp_pb.ExportTraceServiceResponse()

    def spans(self) -> list[Any]:
        scopes = [scope for each in self.received for part in each.resource_spans for scope in part.scope_spans]
        return [span for scope in scopes for span in scope.spans]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """A collector to which this process sends its spans; servers that start from now on make them."""
    collector, server = Collector(), grpc.aio.server()
    register: Any = otlp_grpc.add_TraceServiceServicer_to_server
    register(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    configure_tracing(service="probe", region="eu-west", endpoint=f"127.0.0.1:{port}", insecure=True)
    try:
        yield collector
    finally:
        await asyncio.to_thread(shutdown_tracing)
        await server.stop(None)


async def test_hops_are_one_trace_without_content(collector: Collector, serve: Serve) -> None:
    """The caller's trace goes on through both hops; a failed span says so; texts and identities stay out."""

    async def fail(_text: str, _context: Any) -> str:
        raise Internal

    last = await serve(fail)
    method: Any = last.caller.channel.unary_unary(
        f"/{SERVICE}/Unary",
        request_serializer=wrappers_pb2.StringValue.SerializeToString,
        response_deserializer=wrappers_pb2.StringValue.FromString,
    )

    async def forward(text: str, _context: Any) -> str:
        await calls.call(method, wrappers_pb2.StringValue(value=text), deadline=current_request().deadline)
        return text

    first = await serve(forward)
    parent = (("traceparent", f"00-{CALLERS_TRACE}-b7ad6b7169203331-01"),)
    await first.caller.call(text=CONTENT, metadata=parent)
    await asyncio.to_thread(shutdown_tracing)

    inner, outer = collector.spans()
    assert {span.trace_id.hex() for span in (inner, outer)} == {CALLERS_TRACE}
    assert inner.parent_span_id == outer.span_id
    assert outer.parent_span_id.hex() == "b7ad6b7169203331"
    assert outer.name.endswith(f"{SERVICE}/Unary")
    assert inner.status.code == inner.status.STATUS_CODE_ERROR
    everything = b"".join(each.SerializeToString() for each in collector.received)
    assert b"eu-west" in everything
    assert CONTENT.encode() not in everything
    assert b"acme" not in everything


async def test_a_collector_that_is_away_costs_no_call(serve: Serve) -> None:
    """Spans are dropped; calls go on, and the end is bounded."""
    configure_tracing(service="probe", region="eu-west", endpoint="127.0.0.1:1", insecure=True)
    try:
        served = await serve()
        answer = await served.caller.call(text="hello")
        assert answer.text == "hello"
    finally:
        async with asyncio.timeout(20):
            await asyncio.to_thread(shutdown_tracing)
