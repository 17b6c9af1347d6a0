"""What an overload came to: by tier, and whether equals were treated alike."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.chaos.load_figures import quantile
from tests.chaos.overload_spec import OK, Call, Caller
from trunkline_tiers import TierFile

MIN_FOR_JAIN: Final = 2.0
"""Answers that an equal tenant must have on the mean: below, the index tells of whole numbers and not of fairness."""


@dataclass(frozen=True, slots=True)
class PhaseRun:
    """One phase as it was."""

    name: str
    callers: Sequence[Caller]
    calls: Sequence[Call]
    seconds: float

    @property
    def answered_in_time(self) -> int:
        """Answers that came before the phase's end: what a queue still holds then belongs to no second of it."""
        end_s = min((call.at_s for call in self.calls), default=0.0) + self.seconds
        return sum(call.outcome == OK and call.at_s + call.ms / 1000 <= end_s for call in self.calls)


def jain(values: Iterable[float]) -> float:
    """Return Jain's index, (sum x)^2 / (n * sum x^2): 1 for equal shares, 1/n where one has all (Jain et al. 1984)."""
    shares = list(values)
    squares = sum(share * share for share in shares)
    return 1.0 if not squares else sum(shares) ** 2 / (len(shares) * squares)


def jain_of_equals(run: PhaseRun) -> float | None:
    """Return the least index among groups of tenants that are equal: of one tier, asking for the same.

    A group of one is none, and so is one with fewer than `MIN_FOR_JAIN` answers a tenant. None without a group.
    """
    good = Counter(call.caller for call in run.calls if call.outcome == OK)
    groups: dict[tuple[str, float, bool], list[int]] = defaultdict(list)
    for index, caller in enumerate(run.callers):
        groups[caller.tier, caller.rps, caller.flooder].append(good[index])
    indices = [
        jain(counts) for counts in groups.values() if len(counts) > 1 and sum(counts) >= MIN_FOR_JAIN * len(counts)
    ]
    return round(min(indices), 4) if indices else None


def by_tier(run: PhaseRun, quiet_p95_ms: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Return the figures of each tier's tenants that do not flood."""
    tiers: dict[str, list[Call]] = defaultdict(list)
    for call in run.calls:
        caller = run.callers[call.caller]
        if not caller.flooder:
            tiers[caller.tier].append(call)
    return {tier: _figures(tiers[tier], run.seconds, quiet_p95_ms.get(tier)) for tier in sorted(tiers)}


def _figures(calls: Sequence[Call], seconds: float, quiet_p95_ms: float | None) -> dict[str, float]:
    good = sorted(call.ms for call in calls if call.outcome == OK)
    figures = {
        "p95_ms": round(quantile(good, 0.95), 1),
        "error_rate": round(1 - len(good) / len(calls), 5),
        "goodput_rps": round(len(good) / seconds, 2),
    }
    if quiet_p95_ms is not None:
        figures["quiet_p95_ms"] = quiet_p95_ms
        figures["p95_to_quiet"] = round(figures["p95_ms"] / quiet_p95_ms, 3)
    return figures


def phase_figures(run: PhaseRun, capacity_rps: float, quiet_p95_ms: Mapping[str, float]) -> dict[str, Any]:
    """Return all figures of one phase."""
    flood = [call for call in run.calls if run.callers[call.caller].flooder]
    figures: dict[str, Any] = {
        "name": run.name,
        "offered_rps": round(len(run.calls) / run.seconds, 1),
        "tiers": by_tier(run, quiet_p95_ms),
        "jain": jain_of_equals(run),
        "goodput_to_capacity": round(run.answered_in_time / run.seconds / capacity_rps, 3),
        "outcomes": dict(Counter(call.outcome for call in run.calls).most_common()),
        "generator_late_ms_p99": round(quantile(sorted(call.late_ms for call in run.calls), 0.99), 1),
    }
    if flood:
        figures["flood"] = {
            "offered_rps": round(len(flood) / run.seconds, 1),
            "goodput_rps": round(sum(call.outcome == OK for call in flood) / run.seconds, 2),
        }
    return figures


def broken_promises(figures: Mapping[str, Any], tiers: TierFile) -> list[str]:
    """Return what was promised to tenants that do not flood, and not kept."""
    broken = []
    for name, seen in figures["tiers"].items():
        objective = tiers.tiers[name].objective
        if seen["p95_ms"] > objective.p95_ms:
            broken.append(f"{name}: p95 of {seen['p95_ms']} ms is above {objective.p95_ms:g} ms")
        if seen["error_rate"] > round(1 - objective.availability, 9):
            broken.append(f"{name}: {seen['error_rate']:.3%} failed, {1 - objective.availability:.3%} may")
    return broken
