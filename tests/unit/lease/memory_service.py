"""An admission service in memory: two buckets for each tenant, answers in order, and faults on demand."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import AskKeeper, BoundsOf, Charge, LeaseHolder, LeaseOptions, LeaseStream, SafeOf, TokenBucket
from trunkline_lease.limit_bounds import no_bounds

Answer = admission_pb.LeaseResponse | BaseException | None


def one(tokens: int) -> Charge:
    """Return the charge of one request."""
    return Charge(1, tokens)


def only(tokens: int) -> Charge:
    """Return a charge of tokens alone."""
    return Charge(0, tokens)


class ManualClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class MemoryService:
    """What the holder sees of an admission service."""

    def __init__(self, clock: Callable[[], float], *, rate: float = 100.0, burst: float = 50.0) -> None:
        self.clock = clock
        self.rate, self.burst = rate, burst
        self.requests_rate, self.requests_burst = 10_000.0, 10_000.0
        self.valid_s = 5.0
        self.rank = 2
        self.requests: list[admission_pb.LeaseRequest] = []
        self.granted: defaultdict[str, int] = defaultdict(int)
        self.returned: defaultdict[str, int] = defaultdict(int)
        self.granted_requests: defaultdict[str, int] = defaultdict(int)
        self.returned_requests: defaultdict[str, int] = defaultdict(int)
        self.advanced: defaultdict[str, Charge] = defaultdict(lambda: Charge(0, 0))
        self.notes: list[quota_pb.LimitNote] = []
        self.calls: list[MemoryCall] = []
        self.up = True
        self.answering = True
        self.held_back: list[tuple[MemoryCall, admission_pb.LeaseRequest]] = []
        self.source: admission_pb.QuotaSource.ValueType = admission_pb.QUOTA_SOURCE_AUTHORITY
        self._buckets: dict[str, tuple[TokenBucket, TokenBucket]] = {}

    def open_call(self) -> Any:
        call = MemoryCall(self)
        self.calls.append(call)
        if not self.up:
            call.fail(grpc.StatusCode.UNAVAILABLE)
        return call

    def go_down(self) -> None:
        """Break every stream and refuse new ones."""
        self.up = False
        for call in self.calls:
            call.fail(grpc.StatusCode.UNAVAILABLE)

    def forget(self, tenant_id: str) -> None:
        """Fill a tenant's buckets again."""
        self._buckets.pop(tenant_id, None)

    def answer_held_back(self) -> None:
        """Go on answering, first what was asked meanwhile."""
        self.answering = True
        held, self.held_back = self.held_back, []
        for call, request in held:
            self.take(call, request)

    def take(self, call: MemoryCall, request: admission_pb.LeaseRequest) -> None:
        if not self.answering:
            self.held_back.append((call, request))
            return
        self.requests.append(request)
        call.put(self._exchange(request))

    def _exchange(self, request: admission_pb.LeaseRequest) -> admission_pb.LeaseResponse:
        tenant, now_s = request.tenant_id, self.clock()
        requests, tokens = self._buckets.setdefault(
            tenant,
            (
                TokenBucket(self.requests_rate, self.requests_burst, now_s),
                TokenBucket(self.rate, self.burst, now_s),
            ),
        )
        requests.give_back(request.returned_requests)
        tokens.give_back(request.returned_tokens)
        self.returned[tenant] += request.returned_tokens
        self.returned_requests[tenant] += request.returned_requests
        self.advanced[tenant] += Charge(request.advanced_requests, request.advanced_tokens)
        got_requests = requests.take_up_to(request.wanted_requests, now_s)
        got_tokens = tokens.take_up_to(request.wanted_tokens, now_s)
        response = admission_pb.LeaseResponse(
            tenant_id=tenant, rank=self.rank, source=self.source, key=request.key, limit_notes=self.notes
        )
        lacking = [
            (bucket, unit)
            for bucket, wanted, got, unit in (
                (requests, request.wanted_requests, got_requests, quota_pb.LIMIT_UNIT_REQUESTS),
                (tokens, request.wanted_tokens, got_tokens, quota_pb.LIMIT_UNIT_TOKENS),
            )
            if wanted and not got
        ]
        if lacking:
            requests.give_back(got_requests)
            tokens.give_back(got_tokens)
            self._refuse(request, response, *lacking[0])
        elif got_requests or got_tokens:
            self.granted[tenant] += got_tokens
            self.granted_requests[tenant] += got_requests
            response.granted_requests, response.granted_tokens = got_requests, got_tokens
            response.valid_duration.FromMilliseconds(round(self.valid_s * 1000))
        return response

    @staticmethod
    def _refuse(
        request: admission_pb.LeaseRequest,
        response: admission_pb.LeaseResponse,
        bucket: TokenBucket,
        unit: quota_pb.LimitUnit.ValueType,
    ) -> None:
        wanted = request.wanted_requests if unit == quota_pb.LIMIT_UNIT_REQUESTS else request.wanted_tokens
        delay_s = bucket.delay_s(min(wanted, int(bucket.burst_tokens)))
        assert delay_s is not None
        response.retry_delay.FromMicroseconds(round(delay_s * 1e6))
        response.refused_scope = quota_pb.LIMIT_SCOPE_TENANT
        response.refused_period = quota_pb.LIMIT_PERIOD_RATE
        response.refused_unit = unit

    def holder(
        self, options: LeaseOptions, safe_of: SafeOf | None = None, bounds_of: BoundsOf = no_bounds
    ) -> LeaseHolder:
        """Return a holder that asks this service over streams, in its time."""

        def stream(keeper: AskKeeper) -> LeaseStream:
            return LeaseStream(self.open_call, keeper, options, self.clock)

        return LeaseHolder(stream, options, self.clock, safe_of=safe_of, bounds_of=bounds_of)


class MemoryCall:
    """One stream, with the methods of grpc.aio's that the holder uses."""

    def __init__(self, service: MemoryService) -> None:
        self._service = service
        self._answers: asyncio.Queue[Answer] = asyncio.Queue()
        self._over: BaseException | None = None
        self._finished = False

    def put(self, answer: Answer) -> None:
        self._answers.put_nowait(answer)

    def fail(self, code: grpc.StatusCode) -> None:
        if self._over is None:
            empty = grpc.aio.Metadata()
            self._over = grpc.aio.AioRpcError(code, empty, empty)
            self.put(self._over)

    async def initial_metadata(self) -> tuple[()]:
        return ()

    def done(self) -> bool:
        return self._over is not None

    async def read(self) -> Any:
        answer = await self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return grpc.aio.EOF if answer is None else answer

    async def write(self, request: admission_pb.LeaseRequest) -> None:
        if self._over is not None:
            raise asyncio.InvalidStateError
        self._service.take(self, request)

    async def done_writing(self) -> None:
        self.put(None)

    def cancel(self) -> bool:
        self._over = self._over or asyncio.CancelledError()
        return True


async def settle(turns: int = 20) -> None:
    """Let everything that is ready run."""
    for _ in range(turns):
        await asyncio.sleep(0)


async def eventually(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    """Wait until `holds()`."""
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - the state under test has no event to wait for
            await asyncio.sleep(0.005)


def refused(awaitable: Awaitable[object]) -> asyncio.Future[object]:
    """Start what is expected to wait."""
    return asyncio.ensure_future(awaitable)
