"""Starts the inference service in this process, and calls it as a tenant would."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_inference.app import open_app
from trunkline_inference.settings import InferenceSettings
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_mesh.errors import DomainError
from trunkline_mesh.serving import start
from trunkline_mesh.status import from_rpc_error

MODEL: Final = "all-minilm-l6-v2"
REVISION: Final = "int8-1"
PATIENT_S: Final = 60.0
"""Deadline of calls whose time is not what is tested."""


def common_settings(identity: DevIdentity) -> dict[str, Any]:
    """Return what every service of a test needs."""
    return {
        "jwks": str(identity.jwks_path),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "drain_settle_s": 0.0,
        "drain_grace_s": 1.0,
    }


@dataclass
class Inference:
    """A running inference service, as one tenant sees it."""

    address: str
    stub: inference_grpc.InferenceServiceStub
    identity: DevIdentity
    tenant: str = "acme"

    def as_tenant(self, tenant: str) -> Inference:
        """Return the same service as another tenant sees it."""
        return Inference(self.address, self.stub, self.identity, tenant)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the tenant's credential."""
        return (("authorization", f"Bearer {self.identity.mint('tester', tenant=self.tenant)}"),)

    def embedding(
        self, texts: Sequence[str], *, passages: bool = False, timeout_s: float = PATIENT_S
    ) -> grpc.aio.UnaryUnaryCall[inference_pb.EmbedRequest, inference_pb.EmbedResponse]:
        """Begin to embed."""
        kind = inference_pb.INPUT_KIND_PASSAGE if passages else inference_pb.INPUT_KIND_QUERY
        request = inference_pb.EmbedRequest(model_id=MODEL, model_revision=REVISION, texts=texts, input_kind=kind)
        return self.stub.Embed(request, timeout=timeout_s, metadata=self.metadata)

    async def embed(self, *texts: str, passages: bool = False) -> npt.NDArray[np.float32]:
        """Return one row for each text."""
        response = await self.embedding(texts, passages=passages)
        return np.array([embedding.values for embedding in response.embeddings], np.float32)

    async def cached_count(self, *texts: str) -> int:
        """Embed, and return how many came from a cache."""
        return (await self.embedding(texts)).cached_count

    async def score(self, query: str, passages: Sequence[str]) -> list[float]:
        """Return one score for each passage."""
        request = inference_pb.ScoreRequest(query=query, passages=passages)
        response = await self.stub.Score(request, timeout=PATIENT_S, metadata=self.metadata)
        return list(response.scores)

    async def models_ready(self) -> bool:
        """Tell whether every model answers."""
        request = inference_pb.ListModelsRequest()
        response = await self.stub.ListModels(request, timeout=PATIENT_S, metadata=self.metadata)
        return all(model.ready for model in response.models)


async def serve(stack: AsyncExitStack, identity: DevIdentity, triton_endpoint: str, **changes: Any) -> Inference:
    """Start the service; what is opened is closed by `stack`."""
    settings = InferenceSettings(**(common_settings(identity) | {"triton_endpoint": triton_endpoint} | changes))
    app = await stack.enter_async_context(open_app(settings))
    running = await start(app, settings, stack)
    address = f"127.0.0.1:{running.port}"
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
    return Inference(address, inference_grpc.InferenceServiceStub(channel), identity)


def error_of(exc: grpc.aio.AioRpcError) -> type[DomainError]:
    """Return which domain error a status is; it must carry one reason of the contract."""
    error = from_rpc_error(exc)
    assert error is not None, f"{exc.code()} carries no reason"
    return type(error)


def identity_in(folder: Path) -> DevIdentity:
    """Make an issuer of credentials."""
    return DevIdentity.create(folder)
