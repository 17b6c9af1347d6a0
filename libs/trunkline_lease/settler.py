"""Settles permits in the background, many in one call: for callers that ask Admit and hold no lease."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_lease.opening import Credential
from trunkline_mesh.background import background
from trunkline_mesh.logs import get_logger

MAX_BATCH: Final = 500
"""The contract's bound on settlements in one call."""

_LOG: Final = get_logger("trunkline_lease.settler")


@dataclass(frozen=True, slots=True)
class SettlerOptions:
    """Bounds and times of a `Settler`."""

    max_waiting: int = 10_000
    """Settlements that may wait; one more is dropped: its permit expires, and gives back all that it had reserved."""
    batch_size: int = 200
    """Sent as soon as so many wait, 1 to 500."""
    max_delay_s: float = 0.05
    """And at the latest so long after the first of them."""
    call_timeout_s: float = 2.0
    """Time of one call."""
    retry_pause_s: float = 0.25
    """Pause after a call that failed."""
    close_timeout_s: float = 1.0
    """Time to send what waits at the end."""

    def __post_init__(self) -> None:
        """Raise ValueError for bounds that make no sense."""
        if not (1 <= self.batch_size <= MAX_BATCH and self.max_waiting >= 1):
            raise ValueError(f"batch_size is 1 to {MAX_BATCH}, and max_waiting at least 1")


@dataclass(slots=True)
class SettlerStats:
    """Counts since the settler was made. They only grow."""

    settled: int = 0
    """Settlements that were accepted."""
    refused: int = 0
    """Settlements that were not: of permits that expired, or that nobody knows."""
    retried: int = 0
    """Settlements that were sent a second time."""
    dropped: int = 0
    """Settlements that were given up: no room, two calls that failed, or none left at close."""


@dataclass(slots=True)
class _Settlement:
    request: admission_pb.SettleRequest
    failed: bool = False


Send: TypeAlias = Callable[
    [Sequence[admission_pb.SettleRequest]], Awaitable[Sequence[reasons_pb.ErrorReason.ValueType]]
]
"""Sends a batch; returns why each was refused, unspecified where it was not. Raises grpc.RpcError, OSError or
TimeoutError where the whole call failed."""


class Settler:
    """Takes settlements without waiting and sends them in batches. One event loop; one replica, one credential.

    A settlement may be repeated safely, so one that failed with its call is sent once more.
    """

    def __init__(self, send: Send, options: SettlerOptions | None = None) -> None:
        """Send with `send`; `open_settler` is the usual way to make one."""
        self.stats = SettlerStats()
        self._send = send
        self._options = options or SettlerOptions()
        self._waiting: deque[_Settlement] = deque()
        self._came = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()

    def settle(self, permit_id: str, charged_tokens: int, *, cancelled: bool = False) -> bool:
        """Have a permit settled soon; False if it is dropped for want of room, or after the end has begun."""
        if self._closing.is_set() or len(self._waiting) >= self._options.max_waiting:
            self.stats.dropped += 1
            return False
        request = admission_pb.SettleRequest(permit_id=permit_id, charged_tokens=charged_tokens, cancelled=cancelled)
        self._waiting.append(_Settlement(request))
        self._came.set()
        if len(self._waiting) >= self._options.batch_size:
            self._full.set()
        return True

    def finish(self) -> None:
        """Take no more; `run` ends once all that waits is sent or given up."""
        self._closing.set()
        self._came.set()
        self._full.set()

    async def run(self) -> None:
        """Send batches until `finish`, or until cancelled; what waits then is dropped."""
        try:
            while batch := await self._next_batch():
                if not await self._sent(batch):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._options.retry_pause_s):
                            await self._closing.wait()
        finally:
            self.stats.dropped += len(self._waiting)
            self._waiting.clear()

    async def _next_batch(self) -> list[_Settlement]:
        """Wait for settlements; nothing once the end has begun and none is left."""
        await self._came.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._options.max_delay_s):
                await self._full.wait()
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._options.batch_size))]
        if not self._closing.is_set():
            if len(self._waiting) < self._options.batch_size:
                self._full.clear()
            if not self._waiting:
                self._came.clear()
        return batch

    async def _sent(self, batch: list[_Settlement]) -> bool:
        try:
            async with asyncio.timeout(self._options.call_timeout_s):
                errors = await self._send([one.request for one in batch])
        except (grpc.RpcError, OSError, TimeoutError) as exc:
            _LOG.warning("settlements were not sent", count=len(batch), error_type=type(exc).__name__)
            self._put_back(batch)
            return False
        refused = sum(error != reasons_pb.ERROR_REASON_UNSPECIFIED for error in errors)
        self.stats.refused += refused
        self.stats.settled += len(batch) - refused
        return True

    def _put_back(self, batch: list[_Settlement]) -> None:
        again = [one for one in batch if not one.failed]
        self.stats.dropped += len(batch) - len(again)
        self.stats.retried += len(again)
        for one in reversed(again):
            one.failed = True
            self._waiting.appendleft(one)
        if again:
            self._came.set()


@asynccontextmanager
async def open_settler(
    channel: grpc.aio.Channel, *, credential: Credential, options: SettlerOptions | None = None
) -> AsyncIterator[Settler]:
    """Settle permits of one replica of the admission service, at the end of `channel`, which stays the caller's.

    At the end what waits is sent, within `close_timeout_s`.
    """
    options = options or SettlerOptions()
    stub = admission_grpc.AdmissionServiceStub(channel)

    async def send(requests: Sequence[admission_pb.SettleRequest]) -> Sequence[reasons_pb.ErrorReason.ValueType]:
        response = await stub.SettleBatch(
            admission_pb.SettleBatchRequest(settlements=requests),
            metadata=tuple(credential()),
            timeout=options.call_timeout_s,
        )
        return [outcome.error for outcome in response.outcomes]

    settler = Settler(send, options)
    async with background(settler.run()) as running:
        try:
            yield settler
        finally:
            settler.finish()
            await asyncio.wait((running,), timeout=options.close_timeout_s)
