"""A server that is full: what a refused call costs. `python -m tests.bench.admission_refused`, by `TRUNKLINE_FULL_...`.

It has all stages of a service, one slot, which one call holds for good, and one place to wait, which is taken again
every 0.2 s by a call that is refused then. All others are refused as OVERLOADED when they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import grpc
from pydantic_settings import SettingsConfigDict

from tests.bench.load import Call
from tests.bench.naive_admission import SERVICE, register
from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.server import run_service
from trunkline_mesh.settings import ServiceSettings

HOLD_S: Final = 3000.0

Metadata = tuple[tuple[str, str], ...]


class FullSettings(ServiceSettings):
    """One slot, one place."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_FULL_", frozen=True, extra="ignore")

    max_concurrency: int = 1
    max_queue: int = 1
    adaptive_concurrency: bool = False


class Holding:
    """Keeps the slot of the first call."""

    async def admit(self, _request: admission_pb.AdmitRequest, _context: Any) -> admission_pb.AdmitResponse:
        """Answer late."""
        await asyncio.sleep(HOLD_S)
        return admission_pb.AdmitResponse()


@asynccontextmanager
async def open_app(_settings: FullSettings) -> AsyncIterator[MeshApp]:
    """Compose."""
    policy = MethodPolicy(Access.TENANT, cap_s=HOLD_S, floor_s=0.001, preemptible=False)
    binding = ServiceBinding(
        service=SERVICE,
        servicer=Holding(),
        register=register,
        policy={f"/{SERVICE}/Admit": policy},
    )
    yield MeshApp(name="full", bindings=(binding,))


@asynccontextmanager
async def refused_call(channel: grpc.aio.Channel, metadata: Metadata) -> AsyncIterator[Call]:
    """Fill the server, and yield a call that it refuses; anything else than its refusal is raised."""
    stub, request = admission_grpc.AdmissionServiceStub(channel), admission_pb.AdmitRequest(cost_tokens=1)
    holder = stub.Admit(request, metadata=metadata, timeout=HOLD_S, wait_for_ready=True)

    async def refused() -> None:
        try:
            await stub.Admit(request, metadata=metadata, timeout=4)
        except grpc.aio.AioRpcError as exc:
            if exc.details() != "the server is at capacity":
                raise

    await channel.channel_ready()
    try:
        await asyncio.wait((asyncio.ensure_future(refused()),), timeout=4)
        yield refused
    finally:
        holder.cancel()
        with suppress(asyncio.CancelledError, grpc.aio.AioRpcError):
            await holder


if __name__ == "__main__":
    run_service(FullSettings, open_app, "full")
