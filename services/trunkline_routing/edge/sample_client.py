"""Adapter: the first documents of a collection over `trunkline.retrieval.v1`, whose stream ends when it is enough."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.entries import RegionEntry
from trunkline_mesh.calls import MIN_TIMEOUT_S, forwarded_metadata, translate
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded
from trunkline_mesh.request import TIMEOUT_KEY
from trunkline_routing.edge.sample import SampleCommand
from trunkline_routing.edge.targets import Stubs

_PAGE: Final = 32
"""Documents in one answer: a few answers are enough, and what is read in vain is little."""


class SampleClient:
    """Reads from one region; implements `sample.SampleReader`."""

    def __init__(self, channels: ChannelPool) -> None:
        """Call over a pool of channels."""
        self._stubs = Stubs(channels, retrieval_grpc.RetrievalServiceStub)

    async def read(
        self, region: RegionEntry, tenant_id: str, command: SampleCommand, *, max_bytes: int, deadline: Deadline
    ) -> Sequence[document_pb.Document]:
        """Return at most `count` documents, and after the first none that would exceed `max_bytes`."""
        timeout_s = deadline.remaining_s()
        if timeout_s < MIN_TIMEOUT_S:
            raise DeadlineExceeded
        request = retrieval_pb.ExportRequest(
            tenant_id=tenant_id,
            collection=command.collection,
            page_size=min(command.count, _PAGE),
            map_token=command.map_token,
        )
        metadata = (*forwarded_metadata(), (TIMEOUT_KEY, str(int(timeout_s * 1_000_000))))
        stream = self._stubs.of(region.retrieval_endpoints).Export(request, timeout=timeout_s, metadata=metadata)
        documents: list[document_pb.Document] = []
        room = max_bytes
        try:
            async for page in stream:
                for each in page.documents:
                    room -= each.document.ByteSize()
                    if documents and room < 0:
                        return documents
                    documents.append(each.document)
                    if len(documents) == command.count:
                        return documents
        except grpc.aio.AioRpcError as exc:
            raise translate(exc) from exc
        finally:
            stream.cancel()
        return documents
