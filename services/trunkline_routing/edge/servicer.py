"""RoutingService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_mesh.request import current_request, tenant_of
from trunkline_routing.edge.model import Answer
from trunkline_routing.edge.parse import check_delete, check_upsert, parse_batch, parse_route, parse_search
from trunkline_routing.edge.route import Route
from trunkline_routing.edge.search import Search
from trunkline_routing.edge.trail import set_seconds
from trunkline_routing.edge.write import Write, Written

Context = grpc.aio.ServicerContext[Any, Any]


class RoutingServicer(routing_grpc.RoutingServiceServicer):
    """The front door."""

    def __init__(self, search: Search, route: Route, write: Write, *, rerank_depth: int) -> None:
        """Answer with three use cases."""
        self._search = search
        self._route = route
        self._write = write
        self._rerank_depth = rerank_depth

    async def Search(self, request: routing_pb.SearchRequest, context: Context) -> routing_pb.SearchResponse:
        """Find the best hits of one query."""
        tenant_id = tenant_of(request.tenant_id)
        query = parse_search(request, default_depth=self._rerank_depth)
        [answer] = await self._search.run(tenant_id, [query], request.map_token, current_request())
        return _render(answer)

    async def SearchBatch(
        self, request: routing_pb.SearchBatchRequest, context: Context
    ) -> routing_pb.SearchBatchResponse:
        """Find the best hits of several queries."""
        tenant_id = tenant_of(request.tenant_id)
        queries = parse_batch(request, default_depth=self._rerank_depth)
        answers = await self._search.run(tenant_id, queries, request.map_token, current_request())
        return routing_pb.SearchBatchResponse(responses=[_render(answer) for answer in answers])

    async def Route(self, request: routing_pb.RouteRequest, context: Context) -> routing_pb.RouteResponse:
        """Explain a search without making it."""
        tenant_id = tenant_of(request.tenant_id)
        trail = await self._route.run(tenant_id, parse_route(request), request.map_token, current_request())
        return routing_pb.RouteResponse(trail=trail)

    async def Upsert(self, request: routing_pb.UpsertRequest, context: Context) -> routing_pb.UpsertResponse:
        """Write documents everywhere."""
        tenant_id = tenant_of(request.tenant_id)
        check_upsert(request)
        written = await self._write.upsert(
            tenant_id, request.collection, request.documents, request.map_token, current_request()
        )
        return routing_pb.UpsertResponse(regions=_regions(written), trail=written.trail)

    async def Delete(self, request: routing_pb.DeleteRequest, context: Context) -> routing_pb.DeleteResponse:
        """Delete documents everywhere."""
        tenant_id = tenant_of(request.tenant_id)
        check_delete(request)
        written = await self._write.delete(
            tenant_id, request.collection, request.document_ids, request.map_token, current_request()
        )
        return routing_pb.DeleteResponse(regions=_regions(written), trail=written.trail)


def _render(answer: Answer) -> routing_pb.SearchResponse:
    return routing_pb.SearchResponse(
        hits=[
            routing_pb.SearchHit(
                document=hit.document,
                collection=hit.collection,
                score=hit.score,
                score_kind=hit.score_kind,
                region=hit.region,
            )
            for hit in answer.hits
        ],
        trail=answer.trail,
    )


def _regions(written: Written) -> list[routing_pb.RegionWrite]:
    rendered = []
    for region, elapsed_s in written.regions:
        one = routing_pb.RegionWrite(region=region)
        set_seconds(one.elapsed, elapsed_s)
        rendered.append(one)
    return rendered
