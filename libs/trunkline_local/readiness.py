"""Waiting for a child by a condition, and the conditions: TCP, HTTP, gRPC health, the Redis protocol."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from trunkline_local.child import Child
from trunkline_local.errors import ChildCrashedError, ChildDiedError, NotReadyError, PortTakenError

Check = Callable[[], Awaitable[bool]]
"""Answers whether something is ready; False or OSError means not yet. Each try is cut off after `TRY_S`."""

TRY_S: Final = 1.0
POLL_S: Final = 0.03
MAX_BODY_BYTES: Final = 1 << 20
_TAKEN: Final = ("already in use", "failed to bind to address", "no address added out of total")
"""What etcd, Valkey, Triton and gRPC write when a port is taken, in lower case."""
_CRASHES: Final = (-signal.SIGABRT, -signal.SIGSEGV)
_PROBE_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
"""A fresh connection for each probe: a shared one would sit out its reconnect back-off."""


async def wait_ready(child: Child, check: Check, *, within_s: float) -> None:
    """Return once `check` holds and the child lives.

    Raises ChildDiedError as soon as the child ends (PortTakenError if its log says so, ChildCrashedError if it
    crashed), and NotReadyError after `within_s` seconds; both carry the end of its log.
    """
    died = asyncio.ensure_future(child.wait())
    ready = asyncio.ensure_future(_hold(check))
    try:
        done, _ = await asyncio.wait({died, ready}, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        code = child.poll()
        if code is not None:  # also when the check held: somebody else may have answered on that port
            raise _death(child, code)
        if ready not in done:
            raise NotReadyError(child.name, within_s, child.command.log_path, child.log_tail())
        ready.result()
    finally:
        died.cancel()
        ready.cancel()
        await asyncio.gather(died, ready, return_exceptions=True)


async def eventually(check: Check, *, within_s: float) -> bool:
    """Poll a check until it holds; False if it did not within `within_s` seconds."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await _hold(check)
            return True
    return False


async def _hold(check: Check) -> None:
    while True:
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(TRY_S):
                if await check():
                    return
        await asyncio.sleep(POLL_S)


def _death(child: Child, code: int) -> ChildDiedError:
    tail = child.log_tail()
    kind: type[ChildDiedError] = ChildCrashedError if code in _CRASHES else ChildDiedError
    if any(text in tail.lower() for text in _TAKEN):
        kind = PortTakenError
    return kind(child.name, code, child.command.log_path, tail)


def split_address(address: str) -> tuple[str, int]:
    """Split `host:port`; raise ValueError if it is none."""
    host, _, port = address.rpartition(":")
    return host, int(port)


async def tcp_open(address: str) -> bool:
    """Tell whether somebody listens on `host:port`."""
    _, writer = await asyncio.open_connection(*split_address(address))
    await _close(writer)
    return True


async def http_get(address: str, path: str, *, method: str = "GET") -> tuple[int, bytes]:
    """Return status and body (at most 1 MiB) of a plain HTTP/1.0 request to `host:port`.

    Raises OSError if nobody answers or the answer is not HTTP.
    """
    reader, writer = await asyncio.open_connection(*split_address(address))
    try:
        request = f"{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        await writer.drain()
        answer = await _read_all(reader)
    finally:
        await _close(writer)
    head, _, body = answer.partition(b"\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or not words[1].isdigit():
        raise ConnectionError(f"{address} does not speak HTTP")
    return int(words[1]), body


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    parts, size = [], 0
    while size < MAX_BODY_BYTES and (part := await reader.read(MAX_BODY_BYTES - size)):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


async def redis_ping(address: str) -> bool:
    """Tell whether a server of the Redis protocol answers PING; a loading one does not."""
    reader, writer = await asyncio.open_connection(*split_address(address))
    try:
        writer.write(b"PING\r\n")
        await writer.drain()
        answer: bytes = await reader.readline()
        return answer.startswith(b"+PONG")
    finally:
        await _close(writer)


async def grpc_health(address: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType | None:
    """Return the health of a gRPC server as a whole; None if it does not answer."""
    if not await tcp_open(address):
        return None
    async with grpc.aio.insecure_channel(address, options=_PROBE_OPTIONS) as channel:
        try:
            stub = health_pb2_grpc.HealthStub(channel)
            answer: health_pb2.HealthCheckResponse = await stub.Check(
                health_pb2.HealthCheckRequest(service=""), timeout=TRY_S
            )
        except grpc.aio.AioRpcError:
            return None
    return answer.status


async def grpc_answers(address: str) -> bool:
    """Tell whether a gRPC server answers health checks, serving or not: its process is up."""
    return await grpc_health(address) is not None


async def grpc_serving(address: str) -> bool:
    """Tell whether a gRPC server says SERVING: it has what it depends on."""
    return bool(await grpc_health(address) == health_pb2.HealthCheckResponse.SERVING)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
