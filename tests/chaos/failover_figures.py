"""What one fault's answers say: how soon callers were served elsewhere, and how soon the victim served them again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.load_answer import Account, Answer
from tests.chaos.load_figures import between, latency_ms, outcomes

Group = tuple[str, str]
"""A stream and a collection: what is asked so goes to the same region as long as nothing happens."""
_BOUND: Final = 0.8
_HOME: Final = 0.9
WAYS: Final[Mapping[str, Callable[[Answer, str], bool]]] = {
    "router": lambda answer, region: answer.router == region,
    "store": lambda answer, region: answer.router != region and region in answer.regions,
}
"""How a region serves: its router answers callers, its documents answer routers of other regions."""


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

    @property
    def before(self) -> Sequence[Answer]:
        """Return what was asked before the fault."""
        return between(self.answers, self.moments.start_s, self.moments.fault_s)

    @property
    def during(self) -> Sequence[Answer]:
        """Return what was asked while the fault lasted."""
        return between(self.answers, self.moments.fault_s, self.moments.undo_s)

    @property
    def since(self) -> Sequence[Answer]:
        """Return what was asked since undoing the fault began."""
        return between(self.answers, self.moments.undo_s, math.inf)

    @property
    def after(self) -> Sequence[Answer]:
        """Return what was asked after the victim served again."""
        return between(self.answers, max(self.moments.returned_s, self.moments.settled_s), math.inf)

    def figures(self) -> dict[str, Any]:
        """Return the fault's part of RESULT; times in the unit of their name, None where something never came."""
        at = self.moments
        return {
            "seconds": round(at.undo_s - at.fault_s, 1),
            "requests": len(self.answers),
            "errors": sum(answer.failed for answer in self.answers),
            "wrong": sum(answer.right is False for answer in self.answers),
            "outcomes": outcomes(self.answers),
            **self._failover(),
            **self._latencies(),
            **self._return(),
            "degraded": dict(Counter(each.split(" ")[0] for answer in self.answers for each in answer.degraded)),
            "offered_rps": self.account.offered_rps,
            "generator_lag_ms_p99": self.account.generator_lag_ms_p99,
            "generator_starved": self.account.starved,
        }

    def _failover(self) -> dict[str, Any]:
        """Return how soon callers were served elsewhere: of both ways of serving, the one that took longer counts."""
        at, during = self.moments, self.during
        first_good = {}
        for way, met in WAYS.items():
            groups = bound_groups(self.before, self.victim, met)
            theirs = [answer for answer in during if _group(answer) in groups]
            first_s = min((answer.done_s for answer in theirs if answer.good), default=math.inf)
            first_good[way] = first_s - at.fault_s if groups else 0.0
        return {
            "first_good_ms": _ms(max(first_good.values())),
            **{f"first_good_{way}_ms": _ms(taken_s) for way, taken_s in first_good.items()},
            "left_s": _left_s(during, self.victim, at.fault_s),
        }

    def _latencies(self) -> dict[str, Any]:
        at, before, during = self.moments, self.before, self.during
        back = between(self.answers, at.undo_s, max(at.returned_s, at.settled_s))
        return {
            "p50_before_ms": latency_ms(before, 0.5),
            "p99_before_ms": latency_ms(before, 0.99),
            "p50_during_ms": latency_ms(during, 0.5),
            "p99_during_ms": latency_ms(during, 0.99),
            "max_during_ms": latency_ms(during, 1.0),
            "p99_return_ms": latency_ms(back, 0.99),
            "p99_after_ms": latency_ms(self.after, 0.99),
        }

    def _return(self) -> dict[str, Any]:
        """Return how soon the victim served again what it served before."""
        at, since, victim = self.moments, self.since, self.victim
        back_s = {way: _first_s(since, victim, met) - at.returned_s for way, met in WAYS.items()}
        bound = bound_groups(self.before, victim, Answer.met)
        home = [answer for answer in since if _group(answer) in bound]
        return {
            "return_took_s": round(at.returned_s - at.undo_s, 2),
            "back_in_use_s": _s(min(back_s.values())),
            **{f"back_as_{way}_s": _s(taken_s) for way, taken_s in back_s.items()},
            "at_home_s": _s(_at_home_s(home, victim) - at.returned_s),
            "victim_share_before": _share(self.before, bound, victim),
            "victim_share_during": _share(self.during, bound, victim),
            "victim_share_after": _share(self.after, bound, victim),
        }


def bound_groups(before: Sequence[Answer], victim: str, met: Callable[[Answer, str], bool]) -> set[Group]:
    """Return what the victim serves in a way as long as nothing happens: at least four fifths of it, as measured."""
    asked = Counter(map(_group, before))
    served = Counter(_group(answer) for answer in before if met(answer, victim))
    return {group for group, count in asked.items() if served[group] >= _BOUND * count}


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


def _at_home_s(theirs: Sequence[Answer], victim: str) -> float:
    """Return the moment from which on the victim served at least nine tenths of what is its own, to the end."""
    moment_s, served = math.inf, 0
    for asked, answer in enumerate(sorted(theirs, key=lambda each: each.done_s, reverse=True), 1):
        served += answer.good and answer.met(victim)
        if served >= _HOME * asked:
            moment_s = answer.done_s
    return moment_s


def _first_s(answers: Sequence[Answer], victim: str, met: Callable[[Answer, str], bool]) -> float:
    """Return the moment of the first good answer that the victim served in this way; infinite without one."""
    return min((answer.done_s for answer in answers if answer.good and met(answer, victim)), default=math.inf)


def _s(seconds: float) -> float | None:
    """Return seconds, none below 0: it may have served before all of it was ready. None for what never came."""
    return None if math.isinf(seconds) else round(max(0.0, seconds), 2)


def _ms(seconds: float) -> float | None:
    return None if math.isinf(seconds) else round(seconds * 1000, 1)
