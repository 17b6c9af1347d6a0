"""Asks over gRPC: one stream to the admission service, answers in order, and a lost stream is reopened."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Final, TypeAlias

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease.asks import Ask, AskKeeper
from trunkline_lease.messages import answer_of, request_of
from trunkline_lease.options import LeaseOptions
from trunkline_mesh.clock import Clock
from trunkline_mesh.logs import get_logger

_LOG: Final = get_logger("trunkline_lease.stream")

LeaseCall: TypeAlias = grpc.aio.StreamStreamCall[admission_pb.LeaseRequest, admission_pb.LeaseResponse]


class _SessionEndError(Exception):
    """This stream is over and another one is due."""


class LeaseStream:
    """`Asks` over one `Lease` stream, whose answers come in the order of the asks."""

    def __init__(self, open_call: Callable[[], LeaseCall], keeper: AskKeeper, options: LeaseOptions, clock: Clock):
        """Open nothing yet. `open_call` starts one RPC, with the service's credential."""
        self._open_call = open_call
        self._keeper = keeper
        self._options = options
        self._clock = clock
        # One refill and one return for each tenant can be under way; what exceeds it is dropped by send().
        self._outgoing: asyncio.Queue[Ask | None] = asyncio.Queue(2 * options.max_tenants)
        self._in_flight: deque[Ask] = deque()
        self._suspect = asyncio.Event()
        self._closing = False
        self._opened_at_s = clock()
        self._proven = False
        self._healthy = True
        self._connected = False
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, guards nothing

    @property
    def healthy(self) -> bool:
        """True while it is worth waiting for an answer: before the first attempt fails, and after any answer."""
        return self._healthy

    @property
    def connected(self) -> bool:
        """True while a stream is open, so that an ask may be sent even if nobody waits for its answer."""
        return self._connected

    def send(self, ask: Ask) -> bool:
        """Queue an ask; False, and nothing sent, if the stream is closing or the queue is full."""
        if self._closing or self._outgoing.full():
            return False
        self._outgoing.put_nowait(ask)
        return True

    def doubt(self) -> None:
        """Have nobody wait for answers until one comes: the last one took too long. The stream stays."""
        self._healthy = False

    def give_up_if_stuck(self) -> None:
        """Give up a stream whose oldest ask is not answered within `stuck_s`, and open another one."""
        if self._in_flight and self._clock() - self._in_flight[0].asked_at_s >= self._options.stuck_s:
            self._suspect.set()
            self._healthy = False

    def finish(self) -> None:
        """Send nothing more after what is queued; `run` returns once that is answered."""
        if self._closing:
            return
        self._closing = True
        if self._outgoing.full():
            self._suspect.set()
        else:
            self._outgoing.put_nowait(None)

    async def run(self) -> None:
        """Hold a stream until `finish`; reopen it with growing, jittered pauses when it breaks."""
        failures = 0
        while not self._closing:
            self._opened_at_s = self._clock()
            await self._session()
            if self._came_of_age():
                failures = 0  # or a restart: the next one is likely to be good
                self._healthy = True
            else:
                failures += 1
                await asyncio.sleep(self._pause_s(failures))

    def _came_of_age(self) -> bool:
        return self._proven and self._clock() - self._opened_at_s >= self._options.settled_s

    def _pause_s(self, failures: int) -> float:
        mean_s = min(self._options.backoff_max_s, self._options.backoff_first_s * 2.0 ** min(failures - 1, 16))
        return mean_s * self._jitter.uniform(0.5, 1.5)

    async def _session(self) -> None:
        """Run one stream to its end and report the asks that it left unanswered."""
        self._suspect.clear()
        self._proven = False
        try:
            call = self._open_call()
        except (OSError, grpc.aio.UsageError) as exc:  # no credential, or the channel was closed
            self._fail(exc)
            return
        self._connected = True
        # Not a TaskGroup: before Python 3.13 it loses a cancellation that comes together with a child's error.
        parts = [asyncio.ensure_future(part) for part in (self._read(call), self._write(call), self._watch())]
        try:
            done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            for part in done:
                self._note_end(part)
        finally:
            self._connected = False
            for part in parts:
                part.cancel()
            call.cancel()
            self._lose()
            await asyncio.gather(*parts, return_exceptions=True)

    def _note_end(self, part: asyncio.Future[None]) -> None:
        """Judge the stream by how a part of it ended; raise what is no way for a stream to end."""
        exc = part.exception() if not part.cancelled() else None
        if isinstance(exc, (grpc.RpcError, asyncio.InvalidStateError, TimeoutError)):
            # InvalidStateError is what grpc.aio raises for a write on a stream that is already over.
            self._fail(exc)
        elif exc is not None and not isinstance(exc, _SessionEndError):
            raise exc

    def _fail(self, exc: BaseException) -> None:
        if self._came_of_age():
            _LOG.info("lease stream ended", error_type=type(exc).__name__)  # servers end old connections in peace
        elif self._healthy:
            _LOG.warning("lease stream broke", error_type=type(exc).__name__)
        self._healthy = False

    async def _read(self, call: LeaseCall) -> None:
        async with asyncio.timeout(self._options.connect_timeout_s):
            await call.initial_metadata()
        if not call.done():  # a failed call has (empty) metadata too
            self._prove()
        while True:
            response = await call.read()
            # An answer that nobody asked for would be counted for the wrong tenant: end the stream instead.
            if not isinstance(response, admission_pb.LeaseResponse) or not self._in_flight:
                raise _SessionEndError
            self._prove()
            self._keeper.answered(self._in_flight.popleft(), answer_of(response))

    def _prove(self) -> None:
        self._proven = True
        self._healthy = True

    async def _write(self, call: LeaseCall) -> None:
        while True:
            ask = await self._outgoing.get()
            if ask is None:
                await call.done_writing()
                await self._suspect.wait()  # the answers may still come; the reader ends the session
                return
            self._in_flight.append(ask)
            await call.write(request_of(ask))

    async def _watch(self) -> None:
        await self._suspect.wait()
        raise _SessionEndError

    def _lose(self) -> None:
        """Report everything unanswered or unsent. Nothing is sent twice: the service may have granted it already."""
        lost = list(self._in_flight)
        self._in_flight.clear()
        while not self._outgoing.empty():
            ask = self._outgoing.get_nowait()
            if ask is not None:
                lost.append(ask)
        if lost:
            self._keeper.lost(lost)
