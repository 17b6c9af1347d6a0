"""Adapter: embeddings over `trunkline.inference.v1`."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_map.entries import RegionEntry, SpaceEntry
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Internal
from trunkline_routing.edge.model import Vector
from trunkline_routing.edge.targets import Stubs


class InferenceClient:
    """Embeds in one region; implements `ports.Inference`."""

    def __init__(self, channels: ChannelPool) -> None:
        """Call over a pool of channels."""
        self._stubs = Stubs(channels, inference_grpc.InferenceServiceStub)

    async def embed(
        self, region: RegionEntry, space: SpaceEntry, texts: Sequence[str], *, passages: bool, deadline: Deadline
    ) -> Sequence[Vector]:
        """Return one vector for each text, in order."""
        stub = self._stubs.of(region.inference_endpoints)
        request = inference_pb.EmbedRequest(
            model_id=space.model_id,
            model_revision=space.model_revision,
            texts=texts,
            input_kind=inference_pb.INPUT_KIND_PASSAGE if passages else inference_pb.INPUT_KIND_QUERY,
        )
        response = await call(stub.Embed, request, deadline=deadline)
        # Vectors are kept by the thousand: four bytes a number, not the thirty-two of a tuple of floats.
        vectors = [array("f", embedding.values) for embedding in response.embeddings]
        if len(vectors) != len(texts) or any(len(vector) != space.dimension for vector in vectors):
            raise Internal("the model's vectors are not those of the embedding space")
        return vectors
