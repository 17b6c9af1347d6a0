"""trunkline.retrieval.v1.RetrievalService: messages to commands, use cases, results to messages."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import grpc

from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_mesh.request import current_request, tenant_of
from trunkline_retrieval.errors import answer_too_large
from trunkline_retrieval.export import Export
from trunkline_retrieval.parsing import parse_delete, parse_export, parse_search, parse_upsert
from trunkline_retrieval.rendering import render_page, render_search
from trunkline_retrieval.search import Search
from trunkline_retrieval.write import Write

_Context = grpc.aio.ServicerContext[Any, Any]


class RetrievalServicer(retrieval_grpc.RetrievalServiceServicer):
    """The four methods of the contract."""

    def __init__(self, search: Search, write: Write, export: Export, *, max_message_bytes: int) -> None:
        """Serve these use cases, with answers of at most `max_message_bytes`."""
        self._search = search
        self._write = write
        self._export = export
        self._max_message_bytes = max_message_bytes

    async def Search(self, request: retrieval_pb.SearchRequest, context: _Context) -> retrieval_pb.SearchResponse:
        """Find documents."""
        command = parse_search(request, tenant_of(request.tenant_id))
        response = render_search(await self._search.run(command, current_request().deadline))
        if response.ByteSize() > self._max_message_bytes:
            raise answer_too_large()
        return response

    async def Upsert(self, request: retrieval_pb.UpsertRequest, context: _Context) -> retrieval_pb.UpsertResponse:
        """Write documents."""
        command = parse_upsert(request, tenant_of(request.tenant_id))
        written = await self._write.upsert(command, current_request().deadline)
        return retrieval_pb.UpsertResponse(written_count=written)

    async def Delete(self, request: retrieval_pb.DeleteRequest, context: _Context) -> retrieval_pb.DeleteResponse:
        """Delete documents."""
        command = parse_delete(request, tenant_of(request.tenant_id))
        requested = await self._write.delete(command, current_request().deadline)
        return retrieval_pb.DeleteResponse(requested_count=requested)

    async def Export(
        self, request: retrieval_pb.ExportRequest, context: _Context
    ) -> AsyncGenerator[retrieval_pb.ExportResponse, None]:
        """Read a collection in full."""
        command = parse_export(request, tenant_of(request.tenant_id))
        async with aclosing(self._export.run(command, current_request().deadline)) as pages:
            async for page in pages:
                yield render_page(page)
