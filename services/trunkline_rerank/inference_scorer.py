"""The passage scorer port over the region's inference service."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import grpc

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, DeadlineExceeded, DomainError, Internal
from trunkline_rerank.errors import of_inference
from trunkline_rerank.ports import Scores

PATIENCE_S: Final = 1.0
"""An expiry after at least this long speaks against the service."""

_ALIVE: Final = (grpc.ChannelConnectivity.READY, grpc.ChannelConnectivity.IDLE, grpc.ChannelConnectivity.CONNECTING)


class InferenceScorer:
    """Calls `InferenceService/Score` with the caller's own credential, behind a breaker."""

    def __init__(self, channels: ChannelPool, endpoints: str, breaker: Breaker) -> None:
        """Call the inference replicas at `endpoints`, `host:port` separated by commas."""
        self._channels = channels
        self._endpoints = endpoints
        self._breaker = breaker

    def reachable(self) -> bool:
        """Return False while the connection is down or the breaker rests the service. Starts to connect."""
        state = self._channels.get(self._endpoints).get_state(try_to_connect=True)
        return state in _ALIVE and not self._breaker.is_open()

    async def score(self, query: str, passages: Sequence[str], *, model_id: str, deadline: Deadline) -> Scores:
        """As `PassageScorer.score`; raises what the inference service refused or failed with."""
        stub = inference_grpc.InferenceServiceStub(self._channels.get(self._endpoints))
        request = inference_pb.ScoreRequest(model_id=model_id, query=query, passages=passages)

        async def send() -> inference_pb.ScoreResponse:
            allowed_s = deadline.remaining_s()
            try:
                return await call(stub.Score, request, deadline=deadline)
            except BackendTimeout as exc:
                if allowed_s >= PATIENCE_S:
                    raise
                # Batches are sized by a guess: one that did not fit into a short budget says nothing of the service.
                raise DeadlineExceeded from exc

        try:
            response = await self._breaker.call(send)
        except DomainError as exc:
            raise of_inference(exc) from exc
        if len(response.scores) != len(passages) or not all(map(math.isfinite, response.scores)):
            raise Internal
        return Scores(list(response.scores), response.model)
