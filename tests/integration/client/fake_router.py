# ruff: noqa: N802  # method names are the contract's
"""A small router on the real contract: it answers by a script and remembers what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_client.reasons import REASONS
from trunkline_mesh.health_servicer import HealthServicer
from trunkline_mesh.trailers import AnswerTrailers

ServicerContext = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True)
class Seen:
    """One call that arrived."""

    method: str
    request: Any
    attempt: str
    request_id: str
    authorization: str
    deadline_s: float
    timeout_us: str


@dataclass
class Refuse:
    """A refusal as the services send it: a status with ErrorInfo, and RetryInfo where waiting helps."""

    reason: str
    retry_delay_s: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Hang:
    """No answer until the caller gives up."""


@dataclass
class Cut:
    """A bare status without details, as a proxy or a dying server sends it."""

    code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE


Act = Refuse | Hang | Cut | None


def refusal_status(refuse: Refuse) -> grpc.Status:
    """Return the rich status of a refusal."""
    code = grpc.StatusCode[REASONS[refuse.reason].status]
    status = status_pb2.Status(code=code.value[0], message=f"refused as {refuse.reason}")
    details: list[Message] = [
        error_details_pb2.ErrorInfo(reason=refuse.reason, domain="trunkline.dev", metadata=dict(refuse.metadata))
    ]
    if refuse.retry_delay_s is not None:
        delay = Duration()
        delay.FromMilliseconds(round(refuse.retry_delay_s * 1000))
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    for detail in details:
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    result: grpc.Status = rpc_status.to_status(status)
    return result


class FakeRouter(routing_grpc.RoutingServiceServicer):
    """Acts by `script`, one entry for each call, then answers. `act` decides instead if it is set."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.target = ""
        self.seen: list[Seen] = []
        self.called = asyncio.Event()
        self.script: list[Act] = []
        self.act: Callable[[Seen], Act] | None = None
        self.delay_s = 0.0
        self.pressure = 0.0
        self.draining = False
        self.trailers = AnswerTrailers(lambda: self.pressure, lambda: self.draining)
        self.health = HealthServicer(self.trailers)
        self.drain(on=False)

    def drain(self, *, on: bool) -> None:
        """Drain as a router does: it serves on and tells so, in answers and in its health."""
        self.draining = on
        self.health.set("", health_pb2.HealthCheckResponse.SERVING)
        status = health_pb2.HealthCheckResponse.NOT_SERVING if on else health_pb2.HealthCheckResponse.SERVING
        self.health.set("trunkline.routing.v1.RoutingService", status)

    @property
    def address(self) -> str:
        return f"{self.region}={self.target}"

    async def _meet(self, method: str, request: Any, context: ServicerContext) -> None:
        metadata = dict(context.invocation_metadata() or ())
        seen = Seen(
            method,
            request,
            str(metadata.get("trunkline-attempt", "")),
            str(metadata.get("trunkline-request-id", "")),
            str(metadata.get("authorization", "")),
            context.time_remaining() or 0.0,
            str(metadata.get("trunkline-timeout-us", "")),
        )
        self.seen.append(seen)
        self.called.set()
        act = self.act(seen) if self.act else (self.script.pop(0) if self.script else None)
        self.trailers.leave_on(context)
        await asyncio.sleep(self.delay_s)
        match act:
            case Hang():
                await asyncio.Event().wait()
            case Cut(code):
                await context.abort(code, "cut")
            case Refuse():
                await context.abort_with_status(refusal_status(act))

    def _trail(self, request_id: str) -> trail_pb.Trail:
        return trail_pb.Trail(request_id=request_id, router_region=self.region)

    async def Search(self, request: routing_pb.SearchRequest, context: ServicerContext) -> routing_pb.SearchResponse:
        await self._meet("Search", request, context)
        hit = routing_pb.SearchHit(document=document_pb.Document(document_id="d", text=request.text))
        return routing_pb.SearchResponse(hits=[hit], trail=self._trail(self.seen[-1].request_id))

    async def SearchBatch(
        self, request: routing_pb.SearchBatchRequest, context: ServicerContext
    ) -> routing_pb.SearchBatchResponse:
        await self._meet("SearchBatch", request, context)
        hits = [
            routing_pb.SearchHit(document=document_pb.Document(document_id="d", text=item.text))
            for item in request.queries
        ]
        return routing_pb.SearchBatchResponse(responses=[routing_pb.SearchResponse(hits=[hit]) for hit in hits])

    async def Route(self, request: routing_pb.RouteRequest, context: ServicerContext) -> routing_pb.RouteResponse:
        await self._meet("Route", request, context)
        return routing_pb.RouteResponse(trail=self._trail(self.seen[-1].request_id))

    async def Upsert(self, request: routing_pb.UpsertRequest, context: ServicerContext) -> routing_pb.UpsertResponse:
        await self._meet("Upsert", request, context)
        return routing_pb.UpsertResponse(regions=[routing_pb.RegionWrite(region=self.region)])

    async def Delete(self, request: routing_pb.DeleteRequest, context: ServicerContext) -> routing_pb.DeleteResponse:
        await self._meet("Delete", request, context)
        return routing_pb.DeleteResponse(regions=[routing_pb.RegionWrite(region=self.region)])

    async def RecordFeedback(
        self, request: routing_pb.RecordFeedbackRequest, context: ServicerContext
    ) -> routing_pb.RecordFeedbackResponse:
        await self._meet("RecordFeedback", request, context)
        return routing_pb.RecordFeedbackResponse(kept=True, replaced=len(self.seen) > 1)

    async def SampleDocuments(
        self, request: routing_pb.SampleDocumentsRequest, context: ServicerContext
    ) -> routing_pb.SampleDocumentsResponse:
        await self._meet("SampleDocuments", request, context)
        documents = [document_pb.Document(document_id=f"d{number}", text="t") for number in range(request.count)]
        return routing_pb.SampleDocumentsResponse(documents=documents, region=self.region)


_OPTIONS = (
    ("grpc.so_reuseport", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.keepalive_permit_without_calls", 1),
)


async def start_server(router: FakeRouter, port: int = 0) -> grpc.aio.Server:
    """Start a server for the router; port 0 takes a free one. The router learns its target."""
    server = grpc.aio.server(options=_OPTIONS)
    routing_grpc.add_RoutingServiceServicer_to_server(router, server)
    health_pb2_grpc.add_HealthServicer_to_server(router.health, server)
    router.target = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    return server


@asynccontextmanager
async def running(*regions: str) -> AsyncIterator[list[FakeRouter]]:
    """Run one router for each region in this process."""
    routers = [FakeRouter(region) for region in regions]
    servers = [await start_server(router) for router in routers]
    try:
        yield routers
    finally:
        await asyncio.gather(*(server.stop(None) for server in servers))
