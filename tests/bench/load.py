"""A closed loop of callers: so many in flight, for so long. Counts what was answered and how quickly."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field


@dataclass(slots=True)
class Measured:
    """What several rounds of one kind of call gave."""

    name: str
    rates: list[float] = field(default_factory=list)
    """Calls a second of each round."""
    latencies_ms: list[float] = field(default_factory=list)
    """Of calls that were made one at a time."""

    @property
    def rps(self) -> float:
        """Median of the rounds."""
        return _quantile(self.rates, 0.5)

    def ms(self, quantile: float) -> float:
        """Latency with one call in flight."""
        return _quantile(self.latencies_ms, quantile)


Call = Callable[[], Awaitable[object]]


async def throughput(call: Call, *, in_flight: int, seconds: float) -> float:
    """Return calls a second with `in_flight` callers that never pause."""
    done = 0
    stop_s = time.perf_counter() + seconds

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < stop_s:
            await call()
            done += 1

    began_s = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(in_flight)))
    return done / (time.perf_counter() - began_s)


async def latencies(call: Call, *, count: int) -> list[float]:
    """Return the milliseconds of `count` calls made one after another."""
    taken = []
    for _ in range(count):
        began_s = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - began_s) * 1000)
    return taken


def _quantile(values: list[float], quantile: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * quantile))]
