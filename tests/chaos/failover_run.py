"""One fault under load: before, during, return and after, and the figures of each."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
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
    back_s: float
    """When the victim served again; infinite if it did not in time."""
    end_s: float


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
        after = between(self.answers, max(at.returned_s, min(at.back_s, at.end_s)), math.inf)
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
            "p99_return_ms": latency_ms(between(self.answers, at.undo_s, max(at.returned_s, at.back_s)), 0.99),
            "p99_after_ms": latency_ms(after, 0.99),
            "return_took_s": round(at.returned_s - at.undo_s, 2),
            "back_in_use_s": None if math.isinf(at.back_s) else round(max(0.0, at.back_s - at.returned_s), 2),
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
            back = await load.until(
                lambda a: a.good and a.at_s >= undo_s and a.met(fault.victim), within_s=BACK_WITHIN_S, after=seen
            )
            await asyncio.sleep(times.after_s)
            end_s = time.monotonic()
            account = await load.stop()
            say(f"{fault.name}: {_so_far(load.answers, start_s)}")
            moments = Moments(start_s, fault_s, undo_s, returned_s, math.inf if back is None else back.done_s, end_s)
            return FaultRun(fault.name, fault.victim, moments, between(load.answers, start_s, math.inf), account)


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
    return round(sum(answer.met(victim) for answer in theirs) / len(theirs), 3) if theirs else 0.0


def _longest_gap_s(answers: Sequence[Answer], start_s: float, end_s: float) -> float:
    """Return the longest time in a span in which no good answer came."""
    done = sorted(answer.done_s for answer in answers if answer.good and start_s <= answer.done_s <= end_s)
    edges = [start_s, *done, end_s]
    return max(later - earlier for earlier, later in pairwise(edges))


def _ms(seconds: float) -> float | None:
    return None if math.isinf(seconds) else round(seconds * 1000, 1)


def _so_far(answers: Sequence[Answer], since_s: float) -> str:
    counted = between(answers, since_s, math.inf)
    errors, wrong = sum(each.failed for each in counted), sum(each.right is False for each in counted)
    return f"{len(counted)} answers, {errors} errors, {wrong} wrong"
