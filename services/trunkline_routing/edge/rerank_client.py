"""Adapter: reordering over `trunkline.rerank.v1`."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline_map.entries import RegionEntry
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Internal
from trunkline_routing.edge.ports import Scored
from trunkline_routing.edge.targets import Stubs


class RerankClient:
    """Reorders in one region; implements `ports.Rerank`."""

    def __init__(self, channels: ChannelPool) -> None:
        """Call over a pool of channels."""
        self._stubs = Stubs(channels, rerank_grpc.RerankServiceStub)

    async def rerank(
        self, region: RegionEntry, query: str, passages: Sequence[str], *, top_n: int, deadline: Deadline
    ) -> Sequence[Scored]:
        """Return the passages' new order."""
        stub = self._stubs.of(region.rerank_endpoints)
        request = rerank_pb.RerankRequest(
            query=query,
            candidates=[rerank_pb.Candidate(candidate_id=str(index), text=text) for index, text in enumerate(passages)],
            top_n=top_n,
        )
        response = await call(stub.Rerank, request, deadline=deadline)
        places = {str(index): index for index in range(len(passages))}
        order = [Scored(places.pop(one.candidate_id, -1), one.score, one.scored) for one in response.results]
        if len(order) != top_n or any(one.index < 0 for one in order):
            raise Internal("the reranker did not return the candidates that it was given")
        return order
