# ruff: noqa: N802  # method names are the contract's
"""One region's retrieval, inference and rerank on their real contracts, in process: they answer, refuse or hang."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_mesh.errors import DomainError
from trunkline_mesh.health_servicer import HealthServicer
from trunkline_mesh.status import to_trailers
from trunkline_mesh.trailers import AnswerTrailers
from trunkline_routing.edge.region_probe import SERVICE

DIMENSION = 4
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Seen:
    """One call that arrived."""

    method: str
    request: Any
    left_s: float
    """What gRPC says that the caller gave."""
    metadata: dict[str, str]

    @property
    def told_s(self) -> float:
        """What the caller says that it gave: gRPC's own value may be rounded up."""
        return int(self.metadata["trunkline-timeout-us"]) / 1e6


@dataclass
class Region:
    """The script and the ledger of one region."""

    name: str
    refuses: dict[str, DomainError] = field(default_factory=dict)
    """By method."""
    broken: dict[str, DomainError] = field(default_factory=dict)
    """By collection; told beside those of the same call that are not."""
    vendor_text: str = ""
    """If set, retrieval fails with this as a bare status, as a broken proxy does."""
    hangs: set[str] = field(default_factory=set)
    vector: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0)
    seen: list[Seen] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    pressure: float = 0.0
    """What every answer of its health tells."""
    health: HealthServicer | None = None
    address: str = ""
    server: grpc.aio.Server | None = None

    async def arrive(self, method: str, request: Any, context: Context) -> None:
        """Note a call, then do what the script says."""
        metadata = {key: str(value) for key, value in context.invocation_metadata() or ()}
        self.seen.append(Seen(method, request, context.time_remaining() or 0.0, metadata))
        if self.vendor_text and method == "Search":
            await context.abort(grpc.StatusCode.UNKNOWN, self.vendor_text)
        if method in self.refuses:
            code, message, trailers = to_trailers(self.refuses[method])
            await context.abort(code, message, trailers)
        if method in self.hangs:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.append(method)
                raise

    def tell(self, *, serving: bool) -> None:
        """Say to whoever watches retrieval whether it serves."""
        assert self.health is not None
        states = health_pb2.HealthCheckResponse
        self.health.set(SERVICE, states.SERVING if serving else states.NOT_SERVING)

    def calls(self, method: str) -> list[Seen]:
        """Return the calls of one method."""
        return [one for one in self.seen if one.method == method]


class Retrieval(retrieval_grpc.RetrievalServiceServicer):
    """Two documents in every collection."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def Search(self, request: retrieval_pb.SearchRequest, context: Context) -> retrieval_pb.SearchResponse:
        await self._region.arrive("Search", request, context)
        return retrieval_pb.SearchResponse(results=[self._found(request, name) for name in request.collections])

    def _found(self, request: retrieval_pb.SearchRequest, collection: str) -> retrieval_pb.CollectionHits:
        if request.allow_partial and collection in self._region.broken:
            return retrieval_pb.CollectionHits(collection=collection, error=self._region.broken[collection].reason)
        hits = [
            retrieval_pb.Hit(document=document_pb.Document(document_id=f"{collection}-{n}", text="text"), score=1 / n)
            for n in (1, 2)
        ]
        return retrieval_pb.CollectionHits(
            collection=collection, hits=hits[: request.limit], score_kind=options_pb.SCORE_KIND_RRF
        )

    async def Upsert(self, request: retrieval_pb.UpsertRequest, context: Context) -> retrieval_pb.UpsertResponse:
        await self._region.arrive("Upsert", request, context)
        return retrieval_pb.UpsertResponse(written_count=len(request.documents))

    async def Delete(self, request: retrieval_pb.DeleteRequest, context: Context) -> retrieval_pb.DeleteResponse:
        await self._region.arrive("Delete", request, context)
        return retrieval_pb.DeleteResponse(requested_count=len(request.document_ids))

    async def Export(
        self, request: retrieval_pb.ExportRequest, context: Context
    ) -> AsyncIterator[retrieval_pb.ExportResponse]:
        await self._region.arrive("Export", request, context)
        yield retrieval_pb.ExportResponse()


class Inference(inference_grpc.InferenceServiceServicer):
    """The same vector for every text."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def Embed(self, request: inference_pb.EmbedRequest, context: Context) -> inference_pb.EmbedResponse:
        await self._region.arrive("Embed", request, context)
        vectors = [inference_pb.Embedding(values=self._region.vector) for _ in request.texts]
        return inference_pb.EmbedResponse(embeddings=vectors)

    async def Score(self, request: inference_pb.ScoreRequest, context: Context) -> inference_pb.ScoreResponse:
        await self._region.arrive("Score", request, context)
        return inference_pb.ScoreResponse(scores=[0.0] * len(request.passages))

    async def ListModels(
        self, request: inference_pb.ListModelsRequest, context: Context
    ) -> inference_pb.ListModelsResponse:
        await self._region.arrive("ListModels", request, context)
        return inference_pb.ListModelsResponse()


class Rerank(rerank_grpc.RerankServiceServicer):
    """Turns the order round."""

    def __init__(self, region: Region) -> None:
        self._region = region

    async def Rerank(self, request: rerank_pb.RerankRequest, context: Context) -> rerank_pb.RerankResponse:
        await self._region.arrive("Rerank", request, context)
        results = [
            rerank_pb.RankedCandidate(candidate_id=one.candidate_id, score=float(number), scored=True)
            for number, one in reversed(list(enumerate(request.candidates)))
        ]
        return rerank_pb.RerankResponse(results=results[: request.top_n], scored_count=len(results))


@asynccontextmanager
async def open_region(name: str, port: int = 0) -> AsyncIterator[Region]:
    """Serve one region on a port of its own, or on that one."""
    region = Region(name)
    health = region.health = HealthServicer(AnswerTrailers(lambda: region.pressure, lambda: False))
    for service in ("", SERVICE):
        health.set(service, health_pb2.HealthCheckResponse.SERVING)
    server = region.server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    retrieval_grpc.add_RetrievalServiceServicer_to_server(Retrieval(region), server)
    inference_grpc.add_InferenceServiceServicer_to_server(Inference(region), server)
    rerank_grpc.add_RerankServiceServicer_to_server(Rerank(region), server)
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    region.address = f"127.0.0.1:{server.add_insecure_port(f'127.0.0.1:{port}')}"
    await server.start()
    try:
        yield region
    finally:
        await server.stop(0)
