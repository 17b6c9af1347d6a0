"""Adapter: collections over `trunkline.retrieval.v1`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.entries import RegionEntry
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import ERROR_OF_REASON, DomainError, Internal
from trunkline_mesh.trailers import PeerState
from trunkline_routing.edge.model import Hit, Query, Vector, Vectors
from trunkline_routing.edge.targets import Stubs

Listener = Callable[[PeerState], None]


def deaf(_region_id: str) -> Listener | None:
    """Listen to no answer."""
    return None


class RetrievalClient:
    """Searches and writes in one region; implements `ports.Retrieval`."""

    def __init__(self, channels: ChannelPool, listener: Callable[[str], Listener | None] = deaf) -> None:
        """Call over a pool of channels. `listener` of a region hears what a search's answer says of its server."""
        self._stubs = Stubs(channels, retrieval_grpc.RetrievalServiceStub)
        self._listener = listener

    async def search(
        self,
        region: RegionEntry,
        tenant_id: str,
        collections: Sequence[str],
        query: Query,
        vectors: Vectors,
        *,
        limit: int,
        map_token: bytes,
        deadline: Deadline,
    ) -> Sequence[Sequence[Hit] | DomainError]:
        """Return each collection's hits, best first, or why it could not be searched."""
        request = retrieval_pb.SearchRequest(
            tenant_id=tenant_id,
            collections=collections,
            text=query.text,
            vectors=[vector_pb.QueryVector(space_id=space, values=values) for space, values in vectors.items()],
            limit=limit,
            filter=query.filter,
            min_score=query.min_score,
            include_fields=query.include_fields,
            map_token=map_token,
            allow_partial=len(collections) > 1,
        )
        method = self._stubs.of(region.retrieval_endpoints).Search
        response = await call(method, request, deadline=deadline, listener=self._listener(region.region_id))
        if [found.collection for found in response.results] != list(collections):
            raise Internal("a region answered for other collections than were asked")
        return _results(response.results, region.region_id)

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


def _results(found: Sequence[retrieval_pb.CollectionHits], region_id: str) -> Sequence[Sequence[Hit] | DomainError]:
    """Raises the error that all collections have in common: then the region failed, and not a collection of it."""
    results: list[Sequence[Hit] | DomainError] = []
    for one in found:
        if one.error:
            leaf = ERROR_OF_REASON.get(one.error, Internal)
            results.append(leaf(metadata={"collection": one.collection}))
        else:
            kind = one.score_kind
            results.append([Hit(hit.document, one.collection, region_id, hit.score, kind) for hit in one.hits])
    reasons = {one.error for one in found}
    if len(reasons) == 1 and isinstance(results[0], DomainError):
        raise results[0]
    return results
