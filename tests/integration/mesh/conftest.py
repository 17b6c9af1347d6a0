"""Servers of the probe service: ours, with every stage, and naive ones beside them."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.integration.mesh.caller import Caller
from tests.integration.mesh.credentials import AUDIENCE, ISSUER, Issuer
from tests.integration.mesh.probe import Behaviour, ProbeServicer, echo, probe_app, start_naive

from trunkline_local.child import Child, Command
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_mesh.serving import Running, start
from trunkline_mesh.settings import ServiceSettings


@dataclass(frozen=True)
class Process:
    """A server in a process of its own."""

    child: Child
    address: str


@dataclass(frozen=True)
class Served:
    """A running server and a client of it."""

    servicer: ProbeServicer
    caller: Caller
    address: str
    running: Running | None = None


Serve = Callable[..., Awaitable[Served]]
Spawn = Callable[..., Awaitable[Process]]
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    """Sign tokens that the servers accept."""
    return Issuer(tmp_path_factory.mktemp("issuer"))


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as opened:
        yield opened


def settings_of(issuer: Issuer, **changes: Any) -> ServiceSettings:
    """Return settings of a server that trusts the issuer."""
    common: dict[str, Any] = {"jwks": str(issuer.jwks_path), "issuer": ISSUER, "audience": AUDIENCE}
    return ServiceSettings(**(common | {"drain_settle_s": 0.0, "drain_grace_s": 1.0} | changes))


@pytest.fixture
def serve(issuer: Issuer, stack: AsyncExitStack) -> Serve:
    """Start the probe service with all stages; keyword arguments are settings."""

    async def start_ours(behaviour: Behaviour = echo, **changes: Any) -> Served:
        servicer = ProbeServicer(behaviour)
        running = await start(probe_app(servicer), settings_of(issuer, **changes), stack)
        address = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        return Served(servicer, Caller(channel, issuer.token()), address, running)

    return start_ours


@pytest.fixture
def serve_naive(stack: AsyncExitStack) -> Serve:
    """Start the same handlers on a plain grpc.aio server."""

    async def start_plain(behaviour: Behaviour = echo, *, port: int = 0, options: Any = ()) -> Served:
        servicer = ProbeServicer(behaviour)
        server, port = await start_naive(servicer, port=port, options=options)
        stack.push_async_callback(server.stop, 0)
        address = f"127.0.0.1:{port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        return Served(servicer, Caller(channel), address)

    return start_plain


@pytest.fixture
async def spawn(
    issuer: Issuer, port_allocator: PortAllocator, tmp_path: Path, process_host: ProcessHost
) -> AsyncIterator[Spawn]:
    """Start the probe service as a process; keyword arguments are settings. It is killed with the test."""
    children: list[Child] = []

    async def start_process(kind: str = "ours", *, port: int | None = None, **changes: object) -> Process:
        port = port or port_allocator.take()
        address = f"127.0.0.1:{port}"
        given = {"listen": address, "jwks": issuer.jwks_path, "issuer": ISSUER} | changes
        child = process_host.spawn(
            Command(
                f"probe-{len(children)}",
                [sys.executable, "-m", "tests.integration.mesh.probe_server", kind, str(port)],
                tmp_path / f"probe-{len(children)}.log",
                env={f"TRUNKLINE_PROBE_{name}".upper(): str(value) for name, value in given.items()},
                cwd=REPOSITORY,
            )
        )
        children.append(child)
        return Process(child, address)

    yield start_process
    for child in children:
        child.kill()
        await child.wait()
