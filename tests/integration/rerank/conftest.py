"""The rerank service before a real or a slow inference service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tests.integration.inference.service import PATIENT_S, common_settings
from tests.integration.rerank.slow_inference import SlowInference

from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline.rerank.v1 import rerank_service_pb2_grpc as rerank_grpc
from trunkline_local.identity import DevIdentity
from trunkline_mesh.serving import start
from trunkline_mesh.settings import ServiceSettings
from trunkline_rerank.app import open_app
from trunkline_rerank.settings import RerankSettings


@dataclass
class Rerank:
    """A running rerank service, as a tenant sees it."""

    stub: rerank_grpc.RerankServiceStub
    token: str

    def call(
        self, texts: list[str], *, budget_s: float | None = None, timeout_s: float = PATIENT_S, **fields: Any
    ) -> grpc.aio.UnaryUnaryCall[rerank_pb.RerankRequest, rerank_pb.RerankResponse]:
        """Begin to rerank texts, whose ids are `c0`, `c1` and so on."""
        request = rerank_pb.RerankRequest(
            query="a query",
            candidates=[rerank_pb.Candidate(candidate_id=f"c{index}", text=text) for index, text in enumerate(texts)],
            time_budget=Duration(nanos=int(budget_s * 1e9)) if budget_s is not None else None,
        )
        request.MergeFrom(rerank_pb.RerankRequest(**fields))
        return self.stub.Rerank(request, timeout=timeout_s, metadata=(("authorization", f"Bearer {self.token}"),))


Start = Callable[[str], Awaitable[Rerank]]


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> DevIdentity:
    """Issue credentials."""
    return DevIdentity.create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as opened:
        yield opened


@pytest.fixture
def start_rerank(stack: AsyncExitStack, identity: DevIdentity) -> Start:
    """Start the service before an inference service at an address."""

    async def start_one(inference: str) -> Rerank:
        settings = RerankSettings(**(common_settings(identity) | {"inference_endpoints": inference}))
        running = await start(await stack.enter_async_context(open_app(settings)), settings, stack)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
        return Rerank(rerank_grpc.RerankServiceStub(channel), identity.mint("tester", tenant="acme"))

    return start_one


@pytest.fixture
def start_slow(stack: AsyncExitStack, identity: DevIdentity) -> Callable[[float], Awaitable[tuple[SlowInference, str]]]:
    """Start a slow inference service; return it and its address."""

    async def start_one(passage_s: float) -> tuple[SlowInference, str]:
        slow = SlowInference(passage_s)
        running = await start(slow.app(), ServiceSettings(**common_settings(identity)), stack)
        return slow, f"127.0.0.1:{running.port}"

    return start_one
