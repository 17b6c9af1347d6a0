"""A process that was stopped and goes on must not answer from the map that it remembers."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.fixtures.proxy import TcpProxy
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.writing import EPOCH, put

from trunkline_map.etcd import EtcdStore
from trunkline_map.testing import tenant


@asynccontextmanager
async def watching_process(endpoint: str, name: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start a process with a map that is watched."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.integration.map.map_process", endpoint, name),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert await answer_of(process) == "ready"
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        await process.wait()


async def answer_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(40):
        return (await process.stdout.readline()).decode().strip()


@pytest.mark.parametrize("fate", ["kept", "cut"])
async def test_a_stopped_process_catches_up_before_it_answers(etcd: EtcdServer, store: EtcdStore, fate: str) -> None:
    """Its connection may have lived or died meanwhile: with the token of a change it missed, it shows the change."""
    await put(store, EPOCH)
    async with TcpProxy(etcd.endpoint) as proxy, watching_process(proxy.address, "missed") as process:
        process.send_signal(signal.SIGSTOP)
        token = await put(store, tenant("missed", "eu"))
        assert process.stdin is not None
        process.stdin.write(token.hex().encode() + b"\n")  # it asks as soon as it goes on
        if fate == "cut":
            await proxy.cut()

        process.send_signal(signal.SIGCONT)

        assert await answer_of(process) == "True"
