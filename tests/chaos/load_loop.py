"""The two loops: arrivals by a schedule that waits for nobody, and callers that wait for each answer."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from tests.chaos.load_answer import Account, Answer
from tests.chaos.load_asker import Asker
from tests.chaos.load_figures import quantile
from tests.chaos.load_spec import LoadSpec

STARVED_MS: Final = 100.0


@dataclass
class Tally:
    """Counts while a loop runs; `tell` gets every answer."""

    tell: Callable[[Answer], None]
    arrivals: int = 0
    not_sent: int = 0
    answered: int = 0
    good: int = 0
    full: int = 0
    late_ms: list[float] = field(default_factory=list)

    def take(self, answer: Answer) -> None:
        """Count an answer and pass it on."""
        self.answered += 1
        self.good += answer.good
        self.full += answer.full
        self.late_ms.append(answer.late_ms)
        self.tell(answer)

    def account(self, seconds: float) -> Account:
        """Return the account of a loop that took so long."""
        late = sorted(self.late_ms)
        p99 = quantile(late, 0.99)
        return Account(
            seconds=round(seconds, 3),
            arrivals=self.arrivals,
            not_sent=self.not_sent,
            answered=self.answered,
            offered_rps=round(self.arrivals / seconds, 2),
            done_rps=round(self.good / seconds, 2),
            full_rps=round(self.full / seconds, 2),
            generator_lag_ms_p50=round(quantile(late, 0.5), 2),
            generator_lag_ms_p99=round(p99, 2),
            generator_lag_ms_max=round(late[-1] if late else 0.0, 2),
            generator_cpu_s=round(time.process_time(), 2),
            starved=p99 > STARVED_MS,
        )


def schedule(spec: LoadSpec, *, start_s: float) -> Iterator[tuple[float, int]]:
    """Yield moments and the streams that ask then, in order, without end. The same seed gives the same schedule.

    Poisson: the gaps of each stream are exponential with mean 1/rps, so streams together are Poisson too. Regular:
    equal gaps, the streams' first arrivals spread over one gap.
    """
    rngs = [random.Random(f"{spec.seed} {stream.name}") for stream in spec.streams]

    def gap(index: int) -> float:
        rps = spec.streams[index].rps
        return rngs[index].expovariate(rps) if spec.arrivals == "poisson" else 1.0 / rps

    count = len(spec.streams)
    heap = [(start_s + gap(index) * (index + 1) / count, index) for index in range(count)]
    heapq.heapify(heap)
    while True:
        at_s, index = heap[0]
        yield at_s, index
        heapq.heapreplace(heap, (at_s + gap(index), index))


async def open_loop(spec: LoadSpec, askers: Sequence[Asker], stop: asyncio.Event, tally: Tally) -> float:
    """Ask by the schedule until `stop` or the end of the load's time, then wait for what is in flight; return seconds.

    A latency counts from the schedule's moment, also where the generator came late: a server that stalls cannot slow
    its own load down.
    """
    rng = random.Random(spec.seed)
    start_s = time.monotonic()
    end_s = start_s + spec.seconds if spec.seconds is not None else float("inf")
    in_flight: set[asyncio.Task[None]] = set()
    try:
        for at_s, index in schedule(spec, start_s=start_s):
            if at_s >= end_s or await _stopped(stop, at_s):
                break
            tally.arrivals += 1
            asker = askers[index]
            question = asker.choose(rng)
            if len(in_flight) >= spec.max_in_flight:
                tally.not_sent += 1
                tally.take(asker.not_sent(question, at_s))
                continue
            task = asyncio.create_task(_one(asker.ask(question, at_s), tally))
            in_flight.add(task)
            task.add_done_callback(in_flight.discard)
        seconds = min(time.monotonic(), end_s) - start_s
        await asyncio.gather(*in_flight)
    finally:
        for task in in_flight:
            task.cancel()
        await asyncio.gather(*in_flight, return_exceptions=True)
    return seconds


async def closed_loop(spec: LoadSpec, askers: Sequence[Asker], stop: asyncio.Event, tally: Tally) -> float:
    """Run callers that ask, wait, and ask again, by the streams' parts of the mix; return seconds."""
    rng = random.Random(spec.seed)
    start_s = time.monotonic()
    end_s = start_s + spec.seconds if spec.seconds is not None else float("inf")
    weights = [stream.rps for stream in spec.streams]

    async def caller() -> None:
        while time.monotonic() < end_s and not stop.is_set():
            [asker] = rng.choices(askers, weights)
            tally.arrivals += 1
            tally.take(await asker.ask(asker.choose(rng), time.monotonic()))

    await asyncio.gather(*(caller() for _ in range(spec.closed_in_flight)))
    return time.monotonic() - start_s


async def _one(asking: Awaitable[Answer], tally: Tally) -> None:
    tally.take(await asking)


async def _stopped(stop: asyncio.Event, at_s: float) -> bool:
    """Wait until a moment; True if it was told to stop before."""
    wait_s = at_s - time.monotonic()
    if wait_s <= 0.0:
        return stop.is_set()
    try:
        async with asyncio.timeout(wait_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True
