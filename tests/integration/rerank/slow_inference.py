"""An inference service on its real contract whose passages take as long as a test says."""

from __future__ import annotations

import asyncio
from typing import Any

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_inference.policy import POLICY, SERVICE
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.request import current_request


class SlowInference(inference_grpc.InferenceServiceServicer):
    """Scores passages by their number of words."""

    def __init__(self, passage_s: float) -> None:
        self.passage_s = passage_s
        self.batches: list[int] = []
        self.tokens: set[str] = set()
        self.cancelled = asyncio.Event()

    async def Score(  # noqa: N802 - the contract's name
        self, request: inference_pb.ScoreRequest, context: Any
    ) -> inference_pb.ScoreResponse:
        principal = current_request().principal
        assert principal is not None
        self.tokens.add(principal.token)
        self.batches.append(len(request.passages))
        try:
            # Work takes time: that is what this double is for.
            await asyncio.sleep(self.passage_s * len(request.passages))
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return inference_pb.ScoreResponse(scores=[len(text.split()) for text in request.passages], model="slow@1")

    async def Embed(  # noqa: N802 - the contract's name
        self, request: inference_pb.EmbedRequest, context: Any
    ) -> inference_pb.EmbedResponse:
        return inference_pb.EmbedResponse()

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: inference_pb.ListModelsRequest, context: Any
    ) -> inference_pb.ListModelsResponse:
        return inference_pb.ListModelsResponse()

    def app(self) -> MeshApp:
        """Return it as an application."""
        binding = ServiceBinding(SERVICE, self, inference_grpc.add_InferenceServiceServicer_to_server, POLICY)
        return MeshApp(name="inference", bindings=(binding,))
