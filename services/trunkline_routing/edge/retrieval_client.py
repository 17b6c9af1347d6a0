"""Adapter: collections over `trunkline.retrieval.v1`."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.entries import RegionEntry
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Internal
from trunkline_routing.edge.model import Hit, Query, Vector, Vectors
from trunkline_routing.edge.targets import Stubs


class RetrievalClient:
    """Searches and writes in one region; implements `ports.Retrieval`."""

    def __init__(self, channels: ChannelPool) -> None:
        """Call over a pool of channels."""
        self._stubs = Stubs(channels, retrieval_grpc.RetrievalServiceStub)

    async def search(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        query: Query,
        vectors: Vectors,
        *,
        limit: int,
        map_token: bytes,
        deadline: Deadline,
    ) -> Sequence[Hit]:
        """Return one collection's hits, best first."""
        request = retrieval_pb.SearchRequest(
            tenant_id=tenant_id,
            collections=(collection,),
            text=query.text,
            vectors=[vector_pb.QueryVector(space_id=space, values=values) for space, values in vectors.items()],
            limit=limit,
            filter=query.filter,
            min_score=query.min_score,
            include_fields=query.include_fields,
            map_token=map_token,
        )
        response = await call(self._stubs.of(region.retrieval_endpoints).Search, request, deadline=deadline)
        if len(response.results) != 1 or response.results[0].collection != collection:
            raise Internal("a region answered for another collection than was asked")
        found = response.results[0]
        return [Hit(hit.document, collection, region.region_id, hit.score, found.score_kind) for hit in found.hits]

    async def upsert(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        space_id: str,
        documents: Sequence[document_pb.Document],
        vectors: Sequence[Vector],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        """Write documents durably."""
        request = retrieval_pb.UpsertRequest(
            tenant_id=tenant_id,
            collection=collection,
            space_id=space_id,
            documents=[
                retrieval_pb.EmbeddedDocument(document=document, values=vector)
                for document, vector in zip(documents, vectors, strict=True)
            ],
            map_token=map_token,
        )
        await call(self._stubs.of(region.retrieval_endpoints).Upsert, request, deadline=deadline)

    async def delete(
        self,
        region: RegionEntry,
        tenant_id: str,
        collection: str,
        document_ids: Sequence[str],
        *,
        map_token: bytes,
        deadline: Deadline,
    ) -> None:
        """Delete documents durably."""
        request = retrieval_pb.DeleteRequest(
            tenant_id=tenant_id, collection=collection, document_ids=document_ids, map_token=map_token
        )
        await call(self._stubs.of(region.retrieval_endpoints).Delete, request, deadline=deadline)
