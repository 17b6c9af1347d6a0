"""The overload's generator, a process of its own: `python -m tests.chaos.overload_load < SPEC`.

It asks with bare stubs, without the client library's retries and breakers: flooders are not polite, and 500 clients
would cost more of the two cores than the router. Answers are not parsed; whether they are right, other tests say.
Standard output: a line for each call, see `overload_spec.Call`.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import sys
import time
from contextlib import AsyncExitStack
from typing import Any, Final, NamedTuple, Self

import grpc
from google.rpc import error_details_pb2, status_pb2

from tests.bench.floor import OPTIONS
from tests.chaos.overload_spec import NOT_SENT, OK, Call, OverloadSpec
from trunkline.routing.v1 import routing_service_pb2 as routing_pb

DETAIL_CHARS: Final = 80
DETAILS_KEY: Final = "grpc-status-details-bin"
METHOD: Final = "/trunkline.routing.v1.RoutingService/Search"


def schedule(spec: OverloadSpec, start_s: float) -> list[tuple[float, int]]:
    """Return moments and callers, in order, the same for the same seed.

    Each caller asks exactly as often as it should on the mean, at moments as random as a Poisson process that came to
    that number: equal callers are equal, and what Jain's index shows is not their luck.
    """
    arrivals = []
    for index, caller in enumerate(spec.callers):
        rng = random.Random(f"{spec.seed} {caller.tenant}")
        count = max(1, round(caller.rps * spec.seconds))
        arrivals += [(start_s + rng.uniform(0.0, spec.seconds), index) for _ in range(count)]
    return sorted(arrivals)


class Refused(NamedTuple):
    """How a call failed, as it came: it is read when the load is over."""

    code: str
    words: str
    details: bytes
    """A serialised google.rpc.Status; empty where gRPC itself refused."""

    @classmethod
    def of(cls, exc: grpc.aio.AioRpcError) -> Self:
        """Keep what an error says, without the error, whose frames would be searched for garbage."""
        trailing: Any = exc.trailing_metadata() or ()
        details = next((value for key, value in trailing if key == DETAILS_KEY), b"")
        return cls(exc.code().name, exc.details() or "", details)

    def reason(self) -> str:
        """Return the contract's reason; the bare status with its words where there is none."""
        info = error_details_pb2.ErrorInfo()
        for detail in status_pb2.Status.FromString(self.details).details:
            if detail.Unpack(info):
                return str(info.reason)
        return f"{self.code}: {self.words[:DETAIL_CHARS]}" if self.words else self.code


class Generator:
    """Asks, and tells of each call."""

    def __init__(self, spec: OverloadSpec, methods: list[Any]) -> None:
        self._spec = spec
        self._methods = methods
        """Of the flooders first, then one for each other caller."""
        others = itertools.count(spec.flood_channels)
        self._channel_of = {index: next(others) for index, caller in enumerate(spec.callers) if not caller.flooder}
        self._turns = itertools.count()
        self._metadata = [(("authorization", f"Bearer {caller.token}"),) for caller in spec.callers]
        self._ended: list[tuple[float, int, Refused | None, float, float]] = []
        request = routing_pb.SearchRequest(text=spec.text, collections=[spec.collection], top_k=3)
        request.rerank.disabled = True
        self._request = request.SerializeToString()

    async def ask(self, at_s: float, index: int) -> None:
        """Ask once, and keep the outcome."""
        began_s = time.monotonic()
        refused: Refused | None = None
        caller = self._spec.callers[index]
        # A single flooder has more calls under way than fit into one connection.
        flooding = next(self._turns) % self._spec.flood_channels
        method = self._methods[self._channel_of.get(index, flooding)]
        timeout_s = self._spec.deadlines_s[caller.tier]
        try:
            await method(self._request, metadata=self._metadata[index], timeout=timeout_s)
        except grpc.aio.AioRpcError as exc:
            refused = Refused.of(exc)
        self._ended.append((at_s, index, refused, began_s, time.monotonic()))

    def tell(self) -> None:
        """Write how all calls ended: afterwards, while nobody is measured on the same cores."""
        for at_s, index, refused, began_s, end_s in self._ended:
            outcome = OK if refused is None else refused.reason()
            late_ms = round((began_s - at_s) * 1000, 3)
            call = Call(round(at_s, 6), round((end_s - at_s) * 1000, 3), index, outcome, late_ms)
            sys.stdout.buffer.write(call.to_line())

    async def open_loop(self) -> None:
        """Ask by the schedule until its end, and wait for what is in flight."""
        start_s = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        for at_s, index in schedule(self._spec, start_s):
            await asyncio.sleep(max(0.0, at_s - time.monotonic()))  # the schedule itself, nothing is awaited here
            if len(under_way) >= self._spec.max_in_flight:
                now_s = time.monotonic()
                self._ended.append((at_s, index, Refused(NOT_SENT, "", b""), now_s, now_s))
                continue
            task = asyncio.create_task(self.ask(at_s, index))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.gather(*under_way)

    async def closed_loop(self) -> None:
        """Let callers ask without a pause, each tenant in turn."""
        end_s = time.monotonic() + self._spec.seconds
        turn = 0

        async def caller() -> None:
            nonlocal turn
            while time.monotonic() < end_s:
                turn += 1
                await self.ask(time.monotonic(), turn % len(self._spec.callers))

        await asyncio.gather(*(caller() for _ in range(self._spec.closed_in_flight)))


async def run() -> None:
    """Generate the load that standard input describes."""
    spec = OverloadSpec.model_validate_json(sys.stdin.buffer.readline())
    async with AsyncExitStack() as stack:
        methods: list[Any] = []
        for number in range(spec.flood_channels + sum(not caller.flooder for caller in spec.callers)):
            options = [*OPTIONS, ("trunkline.channel", number)]  # else they would share one connection
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(spec.target, options=options))
            methods.append(channel.unary_unary(METHOD))
        gc.freeze()
        gc.disable()  # a pause would be the generator's own; it lives for one phase and keeps next to nothing
        generator = Generator(spec, methods)
        await (generator.closed_loop() if spec.closed_in_flight else generator.open_loop())
        generator.tell()
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(run())
