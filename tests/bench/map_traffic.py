"""The traffic of `tests.bench.map`, in a process of its own: reads one JSON object a line, answers each with one.

Commands: `capacity` (a closed loop, to know what the routers can do) and `probe` (open loops: changes with their reads,
and a load of other reads beside them).
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from tests.bench.load import throughput
from tests.bench.map_probe import Prober, Seen, open_prober
from tests.bench.map_world import Targets

CALLERS: Final = 16
MAX_IN_FLIGHT: Final = 512
"""More than this is dropped and counted: the machine does not keep up."""


async def open_loop(call: Callable[[int], Awaitable[None]], *, per_s: float, count: int) -> int:
    """Start `count` calls at their times, whatever became of those before; return how many could not be started."""
    loop = asyncio.get_running_loop()
    began_s, running, dropped = loop.time(), 0, 0

    async def one(number: int) -> None:
        nonlocal running
        running += 1
        await call(number)
        running -= 1

    async with asyncio.TaskGroup() as group:  # an exception, which is a defect of the bench, ends everything
        for number in range(count):
            await asyncio.sleep(max(0.0, began_s + number / per_s - loop.time()))
            if running < MAX_IN_FLIGHT:
                group.create_task(one(number))
            else:
                dropped += 1
    return dropped


async def capacity(prober: Prober, seconds: float) -> dict[str, Any]:
    """Return the reads a second that the routers and this process manage together."""
    numbers = iter(range(1 << 40))
    await throughput(lambda: prober.load(next(numbers)), in_flight=CALLERS, seconds=seconds / 2)
    return {"rps": await throughput(lambda: prober.load(next(numbers)), in_flight=CALLERS, seconds=seconds)}


async def probe(prober: Prober, *, changes: int, changes_per_s: float, load_rps: float, plain: bool) -> dict[str, Any]:
    """Change and read, with a load beside it, and return what was seen."""
    seen = Seen()

    async def step(_: int) -> None:
        await prober.step(seen, plain=plain)

    async def beside(number: int) -> None:
        try:
            await prober.load(number)
        except grpc.aio.AioRpcError as exc:
            seen.note(exc)

    loaded = round(changes / changes_per_s * load_rps)
    dropped = await asyncio.gather(
        open_loop(step, per_s=changes_per_s, count=changes), open_loop(beside, per_s=load_rps, count=loaded)
    )
    return {**vars(seen), "load_requests": loaded, "dropped": sum(dropped)}


async def serve() -> None:
    """Answer commands until the input ends."""
    first = json.loads(await asyncio.to_thread(sys.stdin.readline))
    async with open_prober(Targets(**first)) as prober:
        while line := await asyncio.to_thread(sys.stdin.readline):
            command = json.loads(line)
            kind = command.pop("do")
            answer = await (capacity(prober, **command) if kind == "capacity" else probe(prober, **command))
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve())
