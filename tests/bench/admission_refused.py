"""A server that is full: what a refused call costs. `python -m tests.bench.admission_refused`, by `TRUNKLINE_FULL_...`.

It has all stages of a service, one slot, which is taken for good, and one place to wait, which is taken again every
0.2 s by a call that is refused then. All others are refused as OVERLOADED when they come.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
from pydantic_settings import SettingsConfigDict

from tests.bench.load import Call
from tests.bench.naive_admission import SERVICE, register
from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.preemption import UNITS_PER_SLOT
from trunkline_mesh.server import run_service
from trunkline_mesh.settings import ServiceSettings

Metadata = tuple[tuple[str, str], ...]


class FullSettings(ServiceSettings):
    """One slot, one place."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_FULL_", frozen=True, extra="ignore")

    max_concurrency: int = 1
    max_queue: int = 1
    adaptive_concurrency: bool = False


class Unreached:
    """Has work that nobody gets to."""

    async def admit(self, _request: admission_pb.AdmitRequest, _context: Any) -> admission_pb.AdmitResponse:
        """Answer, which the bench takes for a mistake."""
        return admission_pb.AdmitResponse()


def fill(limiter: CapacityLimiter) -> None:
    """Take the only slot and keep it."""
    assert limiter.try_take(limiter.lanes[0], "", UNITS_PER_SLOT, math.inf, limiter.clock())


@asynccontextmanager
async def open_app(_settings: FullSettings) -> AsyncIterator[MeshApp]:
    """Compose."""
    binding = ServiceBinding(
        service=SERVICE,
        servicer=Unreached(),
        register=register,
        policy={f"/{SERVICE}/Admit": MethodPolicy(Access.TENANT, cap_s=1.0, floor_s=0.001, preemptible=False)},
    )
    yield MeshApp(name="full", bindings=(binding,), on_limiter=fill)


def refused_call(channel: grpc.aio.Channel, metadata: Metadata) -> Call:
    """Return a call that the full server refuses; anything else than its refusal is raised."""
    stub, request = admission_grpc.AdmissionServiceStub(channel), admission_pb.AdmitRequest(cost_tokens=1)

    async def refused() -> None:
        try:
            await stub.Admit(request, metadata=metadata, timeout=4)
        except grpc.aio.AioRpcError as exc:
            if exc.details() != "the server is at capacity":
                raise
        else:
            raise RuntimeError("a full server served a call")

    return refused


if __name__ == "__main__":
    run_service(FullSettings, open_app, "full")
