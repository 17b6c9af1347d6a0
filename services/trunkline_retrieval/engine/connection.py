"""The service's end of one worker's socket: requests out, answers matched to those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

from trunkline_retrieval.engine.faults import Fault
from trunkline_retrieval.engine.wire import FrameError, FrameReader, Notice, Op, pack_frame, unpack

CLOSED: Final = "the worker's socket is closed"


class Answer(NamedTuple):
    """How a request ended."""

    fault: Fault
    body: Any


class WorkerGoneError(Exception):
    """The worker died or was let go before it answered."""


class WorkerConnection(asyncio.Protocol):
    """One worker's socket. Lives as long as the worker process; a new process gets a new one."""

    def __init__(self, on_notice: Callable[[Notice], None], on_lost: Callable[[], None]) -> None:
        """Call `on_notice` for the worker's notices, and `on_lost` once when the socket is gone."""
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._reader = FrameReader()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._sent_bytes: dict[int, int] = {}
        self._next_id = 1
        self.bytes_under_way = 0
        """Size of the requests that have no answer yet, also of those that nobody waits for any more."""
        self.quiet_since_s = asyncio.get_running_loop().time()
        """Loop time of the last sign of life, or of when the worker began to owe something after that."""

    @property
    def requests_under_way(self) -> int:
        """Requests that have no answer yet, also those that nobody waits for any more."""
        return len(self._sent_bytes)

    async def ask(self, op: Op, body: Any, deadline_s: float) -> Answer:
        """Send a request and wait for its answer, for as long as the caller does.

        Raises WorkerGoneError if the worker is lost first, FrameError for a request larger than a frame. A cancelled
        wait takes the request back from the worker's queue.
        """
        transport = self._transport
        if transport is None:
            raise WorkerGoneError(CLOSED)
        request_id = self._next_id
        frame = pack_frame((request_id, int(op), deadline_s, body))
        self._next_id += 1
        if not self._sent_bytes:
            self.quiet_since_s = asyncio.get_running_loop().time()  # until now it had nothing to say
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        self._sent_bytes[request_id] = len(frame)
        self.bytes_under_way += len(frame)
        transport.write(frame)
        try:
            return await future
        finally:
            if self._waiting.pop(request_id, None) is not None and self._transport is not None:
                self._transport.write(pack_frame((request_id, int(Op.CANCEL), 0.0, None)))

    def hang_up(self) -> None:
        """Close the socket; the worker ends by that."""
        if self._transport is not None:
            self._transport.abort()  # closing would first wait for a frozen worker to read

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio calls this)."""
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Match answers to those who wait (asyncio calls this)."""
        self.quiet_since_s = asyncio.get_running_loop().time()
        try:
            messages = [unpack(body) for body in self._reader.feed(data)]
        except FrameError:
            self.hang_up()
            return
        for request_id, outcome, body in messages:
            if request_id == 0:
                self._on_notice(Notice(outcome))
                continue
            self.bytes_under_way -= self._sent_bytes.pop(request_id, 0)
            future = self._waiting.pop(request_id, None)
            if future is not None and not future.done():
                future.set_result(Answer(Fault(outcome), body))

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody who waits (asyncio calls this)."""
        self._transport = None
        waiting, self._waiting = self._waiting, {}
        self._sent_bytes.clear()
        self.bytes_under_way = 0
        for future in waiting.values():
            if not future.done():
                future.set_exception(WorkerGoneError(CLOSED))
        self._on_lost()
