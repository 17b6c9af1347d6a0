"""One fault under load: before, during, return and after, and the figures of each."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final

from tests.chaos.failover_faults import Fault
from tests.chaos.load_answer import Account, Answer
from tests.chaos.load_figures import between, latency_ms, outcomes
from tests.chaos.load_process import LoadProcess
from tests.chaos.load_spec import LoadSpec
from tests.chaos.stack import DEADLINE_S

BACK_WITHIN_S: Final = 60.0
"""How long the victim's return to use is waited for."""
Group = tuple[str, str]
"""A stream and a collection: what is asked so goes to the same region as long as nothing happens."""
_BOUND: Final = 0.8
WAYS: Final[Mapping[str, Callable[[Answer, str], bool]]] = {
    "router": lambda answer, region: answer.router == region,
    "store": lambda answer, region: answer.router != region and region in answer.regions,
}
"""How a region serves: its router answers callers, its documents answer routers of other regions."""


@dataclass(frozen=True)
class Times:
    """How long each part of a run lasts, in seconds."""

    warm_s: float
    before_s: float
    fault_s: float
    after_s: float


@dataclass(frozen=True)
class Moments:
    """When what happened, on the monotonic clock."""

    start_s: float
    fault_s: float
    undo_s: float
    """When undoing began: processes were being started, for example."""
    returned_s: float
    """When it was undone: its processes were ready, or went on."""
    settled_s: float
    """When the victim served again in every way in which it served before, or that was no longer waited for."""


@dataclass(frozen=True)
class FaultRun:
    """One fault, and every answer around it."""

    name: str
    victim: str
    moments: Moments
    answers: Sequence[Answer]
    """All since the end of the warm-up."""
    account: Account

    def figures(self) -> dict[str, Any]:
        """Return the fault's part of RESULT; times in the unit of their name, None where something never came."""
        at = self.moments
        before = between(self.answers, at.start_s, at.fault_s)
        during = between(self.answers, at.fault_s, at.undo_s)
        after = between(self.answers, max(at.returned_s, at.settled_s), math.inf)
        since = between(self.answers, at.undo_s, math.inf)
        back_s = {way: _first_s(since, self.victim, met) - at.returned_s for way, met in WAYS.items()}
        bound = bound_groups(before, self.victim)
        theirs = [answer for answer in during if _group(answer) in bound]
        return {
            "seconds": round(at.undo_s - at.fault_s, 1),
            "requests": len(self.answers),
            "errors": sum(answer.failed for answer in self.answers),
            "wrong": sum(answer.right is False for answer in self.answers),
            "outcomes": outcomes(self.answers),
            "first_good_ms": _ms(min((a.done_s for a in theirs if a.good), default=math.inf) - at.fault_s),
            "blackout_ms": _ms(_longest_gap_s(theirs, at.fault_s, at.undo_s)),
            "p50_before_ms": latency_ms(before, 0.5),
            "p99_before_ms": latency_ms(before, 0.99),
            "p50_during_ms": latency_ms(during, 0.5),
            "p99_during_ms": latency_ms(during, 0.99),
            "max_during_ms": latency_ms(during, 1.0),
            "p99_return_ms": latency_ms(between(self.answers, at.undo_s, max(at.returned_s, at.settled_s)), 0.99),
            "p99_after_ms": latency_ms(after, 0.99),
            "return_took_s": round(at.returned_s - at.undo_s, 2),
            "back_in_use_s": _s(min(back_s.values())),
            **{f"back_as_{way}_s": _s(taken_s) for way, taken_s in back_s.items()},
            "left_s": _left_s(during, self.victim, at.fault_s),
            "victim_share_before": _share(before, bound, self.victim),
            "victim_share_during": _share(during, bound, self.victim),
            "victim_share_after": _share(after, bound, self.victim),
            "degraded": dict(Counter(each.split(" ")[0] for answer in self.answers for each in answer.degraded)),
            "offered_rps": self.account.offered_rps,
            "generator_lag_ms_p99": self.account.generator_lag_ms_p99,
            "generator_starved": self.account.starved,
        }


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


def bound_groups(before: Sequence[Answer], victim: str) -> set[Group]:
    """Return what the victim serves as long as nothing happens: at least four fifths of it, as measured."""
    asked = Counter(map(_group, before))
    met = Counter(_group(answer) for answer in before if answer.met(victim))
    return {group for group, count in asked.items() if met[group] >= _BOUND * count}


def _group(answer: Answer) -> Group:
    return answer.stream, answer.question.partition("/")[0]


def _share(answers: Sequence[Answer], bound: Collection[Group], victim: str) -> float:
    """Return which part of what is the victim's was served by it."""
    theirs = [answer for answer in answers if _group(answer) in bound]
    return round(sum(answer.good and answer.met(victim) for answer in theirs) / len(theirs), 3) if theirs else 0.0


def _left_s(during: Sequence[Answer], victim: str, fault_s: float) -> float:
    """Return after how long nothing that was asked since the fault was served by the victim any more."""
    return round(
        max((answer.done_s - fault_s for answer in during if answer.good and answer.met(victim)), default=0.0), 2
    )


def _longest_gap_s(answers: Sequence[Answer], start_s: float, end_s: float) -> float:
    """Return the longest time in a span in which no good answer came."""
    done = sorted(answer.done_s for answer in answers if answer.good and start_s <= answer.done_s <= end_s)
    edges = [start_s, *done, end_s]
    return max(later - earlier for earlier, later in pairwise(edges))


def _first_s(answers: Sequence[Answer], victim: str, met: Callable[[Answer, str], bool]) -> float:
    """Return the moment of the first good answer that the victim served in this way; infinite without one."""
    return min((answer.done_s for answer in answers if answer.good and met(answer, victim)), default=math.inf)


def _s(seconds: float) -> float | None:
    """Return seconds, none below 0: it may have served before all of it was ready. None for what never came."""
    return None if math.isinf(seconds) else round(max(0.0, seconds), 2)


def _ms(seconds: float) -> float | None:
    return None if math.isinf(seconds) else round(seconds * 1000, 1)


def _so_far(answers: Sequence[Answer], since_s: float) -> str:
    counted = between(answers, since_s, math.inf)
    errors, wrong = sum(each.failed for each in counted), sum(each.right is False for each in counted)
    return f"{len(counted)} answers, {errors} errors, {wrong} wrong"
