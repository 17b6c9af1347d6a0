"""When a tier's work is cut down, and when it is done in full again: pure rules over what routers saw. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from trunkline_tiers import Levels, LevelThresholds

LATENCY_BUCKETS: Final = 40
"""Bucket i holds answers of up to 2^(i/2) ms and above the one before; the last one everything above."""
WINDOW_S: Final = 10
"""Calls of so many seconds are judged together."""
FRESH_S: Final = 5
"""A utilisation counts for so long: routers report once a second."""
MIN_CALLS: Final = 20
"""Fewer calls in the window say nothing of latency or errors."""
MIN_ERRORS: Final = 3
"""Fewer failed calls in the window are no trend, whatever part of all they are."""
MAX_STEP_S: Final = 5.0
"""Longest time that one evaluation may account for: a stall, or a clock that jumps, is not time that was observed."""
P95: Final = 0.95


class Level(IntEnum):
    """How much is left out; values as in the contract's ServiceLevel."""

    NORMAL = 1
    REDUCED = 2
    EMERGENCY = 3


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the routers of a region saw of one tier lately."""

    calls: int = 0
    """In the last WINDOW_S seconds."""
    errors: int = 0
    latency_counts: tuple[int, ...] = ()
    """At most LATENCY_BUCKETS."""
    utilisation: float | None = None
    """Largest of the last FRESH_S seconds, of this tier and those above it; None where nobody told."""


@dataclass(frozen=True, slots=True)
class TierState:
    """A tier's level, and how long it has been observed to be wrong. Times are observed ones, not by any clock."""

    level: Level = Level.NORMAL
    since_s: float = 0.0
    """Unix time at which the level began; 0 for one that never changed."""
    cause: str = ""
    """Signals that brought it, with commas; empty for NORMAL."""
    over_reduced_s: float | None = None
    """How long a threshold of `reduced` has been exceeded without a break; None if none is."""
    over_emergency_s: float | None = None
    calm_s: float = 0.0
    """How long no threshold of the present level has been exceeded."""


def p95_ms(counts: Sequence[int]) -> float | None:
    """Return the 95th percentile of a histogram, interpolated within its bucket; None below MIN_CALLS answers.

    Buckets are a factor of 2^0.5 wide, so the interpolation is by the logarithm.
    """
    total = sum(counts)
    if total < MIN_CALLS:
        return None
    wanted, below = P95 * total, 0
    for index, count in enumerate(counts):
        if count and below + count >= wanted:
            part = (wanted - below) / count
            return float(2.0 ** ((index - 1 + part) / 2))
        below += count
    raise AssertionError("a part of the total is reached within it")


def exceeded(evidence: Evidence, thresholds: LevelThresholds) -> tuple[str, ...]:
    """Return the signals above their thresholds: of `utilisation`, `latency`, `errors`."""
    found = []
    if evidence.utilisation is not None and evidence.utilisation > thresholds.utilisation:
        found.append("utilisation")
    slow_ms = p95_ms(evidence.latency_counts)
    if slow_ms is not None and slow_ms > thresholds.p95_ms:
        found.append("latency")
    enough = evidence.calls >= MIN_CALLS and evidence.errors >= MIN_ERRORS
    if enough and evidence.errors > thresholds.error_rate * evidence.calls:
        found.append("errors")
    return tuple(found)


def advance(state: TierState, evidence: Evidence | None, rules: Levels, step_s: float, now_s: float) -> TierState:
    """Return the state after `step_s` more seconds at whose end `evidence` was seen; None for none changes nothing.

    A worse level needs `down_after_s` of excess without a break; EMERGENCY may come at once from NORMAL. A better one
    needs `up_after_s` without any excess of the present level's thresholds, and only the next one comes. `now_s` is
    Unix time, told and not reckoned with; `step_s` counts up to MAX_STEP_S.
    """
    if evidence is None:
        return state
    step_s = min(max(step_s, 0.0), MAX_STEP_S)
    reduced, emergency = exceeded(evidence, rules.reduced), exceeded(evidence, rules.emergency)
    over_reduced_s = _longer(state.over_reduced_s, step_s) if reduced else None
    over_emergency_s = _longer(state.over_emergency_s, step_s) if emergency else None
    disturbed = emergency if state.level is Level.EMERGENCY else reduced
    next_state = replace(
        state,
        over_reduced_s=over_reduced_s,
        over_emergency_s=over_emergency_s,
        calm_s=0.0 if disturbed or state.level is Level.NORMAL else state.calm_s + step_s,
    )
    if state.level < Level.EMERGENCY and _lasts(over_emergency_s, rules.down_after_s):
        return _turned(next_state, Level.EMERGENCY, ",".join(emergency), now_s)
    if state.level < Level.REDUCED and _lasts(over_reduced_s, rules.down_after_s):
        return _turned(next_state, Level.REDUCED, ",".join(reduced), now_s)
    if state.level > Level.NORMAL and next_state.calm_s >= rules.up_after_s:
        better = Level(state.level - 1)
        return _turned(next_state, better, state.cause if better > Level.NORMAL else "", now_s)
    return next_state


def advance_all(
    states: Mapping[str, TierState],
    evidence: Mapping[str, Evidence] | None,
    rules: Levels,
    step_s: float,
    now_s: float,
) -> dict[str, TierState]:
    """Return all tiers' states after a step; None is no report at all. A tier that nobody asked for is seen as idle."""
    if evidence is None:
        return dict(states)
    idle = Evidence()
    return {tier: advance(state, evidence.get(tier, idle), rules, step_s, now_s) for tier, state in states.items()}


def _longer(before_s: float | None, step_s: float) -> float:
    """An excess begins when it is first seen: it has not been observed for any time yet."""
    return 0.0 if before_s is None else before_s + step_s


def _lasts(over_s: float | None, after_s: float) -> bool:
    return over_s is not None and over_s >= after_s


def _turned(state: TierState, level: Level, cause: str, now_s: float) -> TierState:
    return replace(state, level=level, since_s=now_s, cause=cause, calm_s=0.0)
