"""A stand-in for a Qdrant server: a servicer on Qdrant's own protos, so the client's conversion to gRPC is real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from qdrant_client import grpc as qdrant_grpc

SECRET = "text of the vendor"


class FakeQdrant(qdrant_grpc.PointsServicer, qdrant_grpc.CollectionsServicer):
    """Answers with nothing, fails or hangs as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.fail_with: grpc.StatusCode | None = None
        self.hang = False
        self.callers: set[str] = set()
        """Peers that asked: one for each connection."""
        self.keys: set[str] = set()
        """API keys that came with calls."""
        self.left = asyncio.Event()
        """Set when a hanging call was cancelled."""

    async def _take(self, request: Any, context: Any) -> None:
        self.asked.append(request)
        self.callers.add(context.peer())
        self.keys.update(str(value) for key, value in context.invocation_metadata() if key == "api-key")
        if self.hang:
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if self.fail_with is not None:
            await context.abort(self.fail_with, SECRET)

    async def List(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC method name
        return qdrant_grpc.ListCollectionsResponse()

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        params = qdrant_grpc.VectorParamsMap(
            map={
                space: qdrant_grpc.VectorParams(size=4, distance=qdrant_grpc.Distance.Cosine)
                for space in ("space-a", "minilm")
            }
        )
        config = qdrant_grpc.CollectionConfig(
            params=qdrant_grpc.CollectionParams(vectors_config=qdrant_grpc.VectorsConfig(params_map=params)),
            hnsw_config=qdrant_grpc.HnswConfigDiff(m=16, ef_construct=100, full_scan_threshold=10_000),
            optimizer_config=qdrant_grpc.OptimizersConfigDiff(
                deleted_threshold=0.2, vacuum_min_vector_number=1_000, default_segment_number=0, flush_interval_sec=5
            ),
            wal_config=qdrant_grpc.WalConfigDiff(wal_capacity_mb=32, wal_segments_ahead=0),
        )
        info = qdrant_grpc.CollectionInfo(
            status=qdrant_grpc.CollectionStatus.Green,
            optimizer_status=qdrant_grpc.OptimizerStatus(ok=True),
            config=config,
        )
        return qdrant_grpc.GetCollectionInfoResponse(result=info)

    async def QueryBatch(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        await self._take(request, context)
        return qdrant_grpc.QueryBatchResponse(result=[qdrant_grpc.BatchResult() for _ in request.query_points])

    async def Upsert(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        await self._take(request, context)
        return qdrant_grpc.PointsOperationResponse(
            result=qdrant_grpc.UpdateResult(operation_id=1, status=qdrant_grpc.UpdateStatus.Completed)
        )

    async def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802 - as above
        return await self.Upsert(request, context)


@asynccontextmanager
async def served(fake: FakeQdrant) -> AsyncIterator[int]:
    """Serve the stand-in over gRPC; give its port. Nobody is waited for at the end, as in a crash."""
    server = grpc.aio.server()
    registrations: Any = qdrant_grpc  # generated code without types
    registrations.add_PointsServicer_to_server(fake, server)
    registrations.add_CollectionsServicer_to_server(fake, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)
