"""One fault under load: before, during, return and after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from tests.chaos.failover_faults import Fault
from tests.chaos.failover_figures import WAYS, FaultRun, Moments
from tests.chaos.load_answer import Answer
from tests.chaos.load_figures import between
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec
from tests.chaos.stack import DEADLINE_S

BACK_WITHIN_S: Final = 60.0
"""How long the victim's return to use is waited for."""


@dataclass(frozen=True)
class Times:
    """How long each part of a run lasts, in seconds."""

    warm_s: float
    before_s: float
    fault_s: float
    after_s: float


async def run_fault(fault: Fault, times: Times, *, rps: float, seed: int, say: Callable[[str], None]) -> FaultRun:
    """Put the stack under load, let the fault happen and pass, and return everything that was answered.

    Raises TimeoutError if the load does not come to be served at all.
    """
    async with fault:
        spec = LoadSpec(streams=fault.stack.streams(rps, routers=fault.routers), seed=seed, deadline_s=DEADLINE_S)
        async with LoadProcess(spec) as load:
            for stream in spec.streams:
                if await load.until(partial(_served, stream.name), within_s=30.0) is None:
                    raise TimeoutError(f"{stream.name} was not served")
            await asyncio.sleep(times.warm_s)
            start_s = time.monotonic()
            say(f"{fault.name}: {rps:.0f} requests a second for {times.before_s:g} s, then the fault")
            await asyncio.sleep(times.before_s)
            fault_s = await fault.begin()
            await asyncio.sleep(max(0.0, fault_s + max(times.fault_s, fault.least_s) - time.monotonic()))
            undo_s, seen = time.monotonic(), len(load.answers)
            say(f"{fault.name}: {_so_far(load.answers, start_s)}; undoing it")
            returned_s = await fault.end()
            await _settled(load, fault.victim, between(load.answers, start_s, fault_s), undo_s, seen)
            settled_s = time.monotonic()
            await asyncio.sleep(times.after_s)
            account = await load.stop()
            say(f"{fault.name}: {_so_far(load.answers, start_s)}")
            moments = Moments(start_s, fault_s, undo_s, returned_s, settled_s)
            return FaultRun(fault.name, fault.victim, moments, between(load.answers, start_s, math.inf), account)


async def _settled(load: LoadProcess, victim: str, before: Sequence[Answer], undo_s: float, seen: int) -> None:
    """Wait until the victim serves again in every way in which it did before, a minute at most."""

    def again(met: Callable[[Answer, str], bool], answer: Answer) -> bool:
        return answer.good and answer.at_s >= undo_s and met(answer, victim)

    ways = [met for met in WAYS.values() if any(met(answer, victim) for answer in before)]
    await asyncio.gather(*(load.until(partial(again, met), within_s=BACK_WITHIN_S, after=seen) for met in ways))


def _served(stream: str, answer: Answer) -> bool:
    return answer.good and answer.stream == stream


def _so_far(answers: Sequence[Answer], since_s: float) -> str:
    counted = between(answers, since_s, math.inf)
    errors, wrong = sum(each.failed for each in counted), sum(each.right is False for each in counted)
    return f"{len(counted)} answers, {errors} errors, {wrong} wrong"
