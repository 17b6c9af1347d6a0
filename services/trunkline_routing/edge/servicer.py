"""RoutingService: parse, call a use case, render."""

from __future__ import annotations

from typing import Any

import grpc

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_mesh.request import current_request, tenant_of
from trunkline_routing.edge.audited import Asked, Watch
from trunkline_routing.edge.bounds import MAX_BATCH
from trunkline_routing.edge.feedback import Feedback
from trunkline_routing.edge.feedback_request import parse_feedback
from trunkline_routing.edge.parse import check_delete, check_upsert, parse_batch, parse_route, parse_search
from trunkline_routing.edge.render import region_writes, route_response, sample_response, search_response
from trunkline_routing.edge.route import Route
from trunkline_routing.edge.sample import Samples, parse_sample
from trunkline_routing.edge.search import Search
from trunkline_routing.edge.write import Write

Context = grpc.aio.ServicerContext[Any, Any]


class RoutingServicer(routing_grpc.RoutingServiceServicer):
    """The front door."""

    def __init__(
        self,
        search: Search,
        route: Route,
        write: Write,
        feedback: Feedback,
        samples: Samples,
        watch: Watch,
        *,
        rerank_depth: int,
    ) -> None:
        """Answer with five use cases; `watch` sees how searches end."""
        self._watch = watch
        self._search = search
        self._route = route
        self._write = write
        self._feedback = feedback
        self._samples = samples
        self._rerank_depth = rerank_depth

    async def Search(self, request: routing_pb.SearchRequest, context: Context) -> routing_pb.SearchResponse:
        """Find the best hits of one query."""
        scope = current_request()
        async with self._watch.search(scope, (_asked(request),)) as seen:
            tenant_id = tenant_of(request.tenant_id)
            query = parse_search(request, default_depth=self._rerank_depth)
            seen.answers = await self._search.run(tenant_id, [query], request.map_token, scope)
        return search_response(seen.answers[0], query)

    async def SearchBatch(
        self, request: routing_pb.SearchBatchRequest, context: Context
    ) -> routing_pb.SearchBatchResponse:
        """Find the best hits of several queries."""
        scope = current_request()
        async with self._watch.search(scope, [_asked(one) for one in request.queries[:MAX_BATCH]]) as seen:
            tenant_id = tenant_of(request.tenant_id)
            queries = parse_batch(request, default_depth=self._rerank_depth)
            seen.answers = await self._search.run(tenant_id, queries, request.map_token, scope)
        return routing_pb.SearchBatchResponse(
            responses=[search_response(answer, query) for answer, query in zip(seen.answers, queries, strict=True)]
        )

    async def Route(self, request: routing_pb.RouteRequest, context: Context) -> routing_pb.RouteResponse:
        """Explain a search without making it."""
        scope = current_request()
        async with self._watch.route(scope, Asked(request.text, request.collections)) as seen:
            tenant_id = tenant_of(request.tenant_id)
            query = parse_route(request)
            answer = await self._route.run(tenant_id, query, request.map_token, scope)
            seen.answers = (answer,)
        return route_response(answer, query)

    async def Upsert(self, request: routing_pb.UpsertRequest, context: Context) -> routing_pb.UpsertResponse:
        """Write documents everywhere."""
        tenant_id = tenant_of(request.tenant_id)
        check_upsert(request)
        written = await self._write.upsert(
            tenant_id, request.collection, request.documents, request.map_token, current_request()
        )
        return routing_pb.UpsertResponse(regions=region_writes(written), trail=written.trail)

    async def Delete(self, request: routing_pb.DeleteRequest, context: Context) -> routing_pb.DeleteResponse:
        """Delete documents everywhere."""
        tenant_id = tenant_of(request.tenant_id)
        check_delete(request)
        written = await self._write.delete(
            tenant_id, request.collection, request.document_ids, request.map_token, current_request()
        )
        return routing_pb.DeleteResponse(regions=region_writes(written), trail=written.trail)

    async def RecordFeedback(
        self, request: routing_pb.RecordFeedbackRequest, context: Context
    ) -> routing_pb.RecordFeedbackResponse:
        """Keep what a caller says of a decision."""
        tenant_id = tenant_of(request.tenant_id)
        noted = await self._feedback.run(tenant_id, parse_feedback(request), current_request())
        return routing_pb.RecordFeedbackResponse(kept=noted.kept, replaced=noted.replaced)

    async def SampleDocuments(
        self, request: routing_pb.SampleDocumentsRequest, context: Context
    ) -> routing_pb.SampleDocumentsResponse:
        """Read some documents of a collection."""
        tenant_id = tenant_of(request.tenant_id)
        sample = await self._samples.run(tenant_id, parse_sample(request), current_request())
        return sample_response(sample)


def _asked(request: routing_pb.SearchRequest) -> Asked:
    """Return what a search is for, without looking closer: a text, or a vector."""
    if request.HasField("vector"):
        return Asked("", request.collections, request.vector.values, request.vector.space_id)
    return Asked(request.text, request.collections)
