"""Triton killed, back, frozen and absent."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest
from tests.integration.inference.service import Inference, error_of, serve

from trunkline_local.child import Child
from trunkline_local.host import ProcessHost
from trunkline_local.identity import DevIdentity
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import eventually, wait_ready
from trunkline_local.triton import TritonPorts, triton_command, triton_ready
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, CircuitOpen, DomainError

REPOSITORY = Path(__file__).resolve().parents[3] / "deploy" / "triton" / "model_repository"


async def start_at(host: ProcessHost, ports: TritonPorts, folder: Path) -> Child:
    """Start a Triton on given ports, so that it can come back to the same address."""
    child = host.spawn(triton_command(host.run_id, ports, folder, folder / "triton.log", REPOSITORY))
    await wait_ready(child, triton_ready(f"{HOST}:{ports.http}"), within_s=100)
    return child


async def refusal(inference: Inference, text: str, *, timeout_s: float = 5.0) -> type[DomainError]:
    """Embed, and return what it fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.embedding([text], timeout_s=timeout_s)
    assert "tritonserver" not in str(caught.value.details()).lower()
    return error_of(caught.value)


async def test_a_killed_model_server_is_a_typed_refusal_and_comes_back(
    stack: AsyncExitStack,
    identity: DevIdentity,
    process_host: ProcessHost,
    port_allocator: PortAllocator,
    tmp_path: Path,
) -> None:
    """Cached vectors are served meanwhile; readiness falls and rises with it."""
    ports = TritonPorts.take(port_allocator)
    triton = await start_at(process_host, ports, tmp_path)
    inference = await serve(stack, identity, f"{HOST}:{ports.grpc}", probe_interval_s=0.1)
    assert await eventually(inference.models_ready, within_s=20)
    remembered = await inference.embed("remembered")

    triton.kill()
    await triton.wait()
    assert await refusal(inference, "new") is BackendUnavailable
    assert (await inference.embed("remembered") == remembered).all()

    async def away() -> bool:
        return not await inference.models_ready()

    assert await eventually(away, within_s=20)
    triton = await start_at(process_host, ports, tmp_path)
    assert await eventually(inference.models_ready, within_s=30)
    assert (await inference.embed("new")).shape == (1, 384)
    triton.kill()


async def test_a_frozen_model_server_is_given_up(
    stack: AsyncExitStack,
    identity: DevIdentity,
    process_host: ProcessHost,
    port_allocator: PortAllocator,
    tmp_path: Path,
) -> None:
    """Calls end long before their own deadline, and after a few of them nothing is sent at all."""
    ports = TritonPorts.take(port_allocator)
    triton = await start_at(process_host, ports, tmp_path)
    inference = await serve(
        stack, identity, f"{HOST}:{ports.grpc}", call_timeout_s=1.0, probe_interval_s=0.1, probe_timeout_s=0.5
    )
    assert await eventually(inference.models_ready, within_s=20)
    triton.pause()
    try:
        seen = [await refusal(inference, f"frozen {number}", timeout_s=25) for number in range(4)]
    finally:
        triton.kill()

    assert set(seen[:3]) <= {BackendTimeout, BackendUnavailable}
    assert seen[3] is CircuitOpen


async def test_without_a_model_server_it_starts_and_says_so(
    stack: AsyncExitStack, identity: DevIdentity, port_allocator: PortAllocator
) -> None:
    """The service waits for nothing at start, lists its models as not ready and refuses with a reason."""
    inference = await serve(stack, identity, f"{HOST}:{port_allocator.take()}")

    assert not await inference.models_ready()
    assert await refusal(inference, "anybody there?") is BackendUnavailable
