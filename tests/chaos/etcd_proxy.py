"""A way to one etcd member that is cut at random bytes, or closed, on request."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from trunkline_local.ports import HOST

CHUNK_BYTES: Final = 64 << 10
MAX_CONNECTIONS: Final = 64
CUT_AFTER_BYTES: Final = (200, 20_000)
"""Least and most bytes of answers between two cuts: some fall into the first headers, some into the midst of events."""


@dataclass(eq=False)
class _Connection:
    task: asyncio.Task[None]
    left_bytes: int | None
    """Bytes of answers until it is cut; None for no cut."""


class EtcdProxy:
    """Listens on loopback from its start; passes bytes on once it is aimed. Use it as an async context manager."""

    def __init__(self, rng: random.Random) -> None:
        """Draw the cuts from `rng`."""
        self.cuts: int = 0
        """Connections that were broken on purpose so far."""
        self._rng: Final = rng
        self._target: tuple[str, int] | None = None
        self._closed = False
        self._chopping = False
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where clients connect."""
        assert self._server is not None
        return f"{HOST}:{self._server.sockets[0].getsockname()[1]}"

    def aim(self, target: str) -> None:
        """Pass connections to `host:port` from now on; until then they are closed at once."""
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))

    def chop(self) -> None:
        """Cut every connection after a random number of bytes of answers, those that are open, too."""
        self._chopping = True
        for connection in self._connections:
            connection.left_bytes = self._draw()

    def close(self) -> None:
        """Break every connection now and let none through."""
        self._closed = True
        for connection in self._connections:
            self.cuts += 1
            connection.task.cancel()

    def heal(self) -> None:
        """Pass everything on again."""
        self._closed = self._chopping = False
        for connection in self._connections:
            connection.left_bytes = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [connection.task for connection in self._connections]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _draw(self) -> int:
        return self._rng.randint(*CUT_AFTER_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or self._closed or self._target is None or len(self._connections) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        connection = _Connection(task, self._draw() if self._chopping else None)
        self._connections.add(connection)
        upstream: asyncio.StreamWriter | None = None
        try:
            answers, upstream = await asyncio.open_connection(*self._target)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, upstream, None))
                group.create_task(self._pump(answers, writer, connection))
        except* (OSError, _EndError):
            pass  # either side left, or it was cut: both sides are closed below
        except* asyncio.CancelledError:
            pass  # broken by `close`; a handler of asyncio.start_server has nobody to tell
        finally:
            self._connections.discard(connection)
            for side in (writer, upstream):
                if side is not None:
                    side.transport.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, connection: _Connection | None
    ) -> None:
        while chunk := await source.read(CHUNK_BYTES):
            left = connection.left_bytes if connection else None
            part = chunk if left is None else chunk[:left]
            sink.write(part)
            await sink.drain()
            if connection is not None and left is not None:
                connection.left_bytes = left - len(part)
                if connection.left_bytes <= 0:
                    self.cuts += 1
                    raise _EndError
        raise _EndError


class _EndError(Exception):
    """The connection is to be closed on both sides."""
