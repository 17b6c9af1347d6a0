"""The proxy does to a connection what the fault tests rely on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from tests.fixtures.proxy import TcpProxy


@pytest.fixture
async def proxy() -> AsyncIterator[TcpProxy]:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with TcpProxy(f"127.0.0.1:{port}") as started:
        yield started
    server.close()


async def connect(proxy: TcpProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = proxy.address.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def test_it_passes_bytes_both_ways(proxy: TcpProxy) -> None:
    """More than one chunk of them, in order."""
    reader, writer = await connect(proxy)
    sent = bytes(range(256)) * 2000
    writer.write(sent)
    assert await reader.readexactly(len(sent)) == sent
    writer.close()


async def test_it_delays_without_reordering(proxy: TcpProxy) -> None:
    """Each way by the delay that is set."""
    proxy.faults.delay_s = 0.05
    reader, writer = await connect(proxy)
    began_s = time.monotonic()
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    assert time.monotonic() - began_s >= 0.1
    writer.close()


async def test_a_black_hole_keeps_connections_open_and_says_nothing(proxy: TcpProxy) -> None:
    """What was held back arrives after it healed."""
    reader, writer = await connect(proxy)
    proxy.open_hole()
    writer.write(b"ping")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.readexactly(4), 0.1)
    proxy.heal()
    assert await reader.readexactly(4) == b"ping"
    writer.close()


async def test_cut_closes_what_is_open_and_accepts_new(proxy: TcpProxy) -> None:
    """Both sides see the end."""
    reader, writer = await connect(proxy)
    writer.write(b"ping")
    await reader.readexactly(4)
    await proxy.cut()
    assert proxy.open_connections == 0
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    reader, writer = await connect(proxy)
    writer.write(b"pong")
    assert await reader.readexactly(4) == b"pong"
    writer.close()


async def test_it_cuts_after_so_many_bytes_of_answers(proxy: TcpProxy) -> None:
    """Never more than that."""
    proxy.faults.limit_bytes = 1000
    reader, writer = await connect(proxy)
    writer.write(b"x" * 5000)
    received = b""
    try:
        while chunk := await reader.read(65536):
            received += chunk
    except ConnectionError:
        pass
    assert len(received) <= 1000
    writer.close()


async def test_it_refuses_new_connections(proxy: TcpProxy) -> None:
    """And takes them again after it healed."""
    proxy.faults.refuse = True
    reader, writer = await connect(proxy)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await reader.readexactly(1)
    writer.close()
    proxy.heal()
    reader, writer = await connect(proxy)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()
