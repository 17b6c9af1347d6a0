"""What becomes of a rollout that the learner began: one step at a time, by what callers said. Pure.

shadow -> canary -> applied, or dropped at either. A rollout that is only proposed waits for a person.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from trunkline_map.entries import RolloutEntry, RolloutState
from trunkline_policy.significance import fisher
from trunkline_routing.learner.trust import Tally

SHADOW_DECISIONS: Final = 50
"""Shadowed decisions before a canary."""
SHADOW_DAYS: Final = 14.0
"""A shadow that has not seen so many by then is dropped: its feedback is old."""
UNEXPLAINED: Final = 0.1
"""Share of shadowed decisions that may differ beyond those that the live policy gets wrong on held-back feedback."""
CANARY_SAMPLES: Final = 20
"""Decisions with feedback in each arm before a canary may be applied."""
CANARY_PATIENCE: Final = 4
"""Times as many after which a canary that still is not as good as the policy is dropped."""
TOLERANCE: Final = 0.02
"""By how much a canary may be below the policy and count as not worse."""
DROP: Final = 0.1
"""By how much a canary must be below the policy to be dropped as soon as there are enough samples."""
SIGNIFICANT: Final = 0.05
"""p-value of Fisher's exact test below which a difference counts, however small."""
ACCURACY_DROP: Final = 0.05
"""Fall of the routing accuracy since the rollout began by which it is dropped."""

_DAY_S: Final = 86_400.0


class Act(Enum):
    """What to do."""

    KEEP = "keep"
    CANARY = "canary"
    APPLY = "apply"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Step:
    """What to do, and why."""

    act: Act
    why: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a rollout."""

    shadow_count: int
    shadow_agreed_count: int
    control: Tally
    variant: Tally
    accuracy: float | None
    """Routing accuracy now; None if it was not measured since the rollout's last change."""
    live_version: int
    now_s: float
    """Unix time."""


def next_step(rollout: RolloutEntry, evidence: Evidence) -> Step:
    """Return the one step that the evidence allows."""
    if rollout.base_version != evidence.live_version:
        return Step(Act.DROP, "the policy that it was compared with is not live any more")
    if rollout.state is RolloutState.SHADOW:
        return _after_shadow(rollout, evidence)
    if rollout.state is RolloutState.CANARY:
        return _after_canary(rollout, evidence)
    return Step(Act.KEEP, "it waits for a person")


def fell(before: Tally, after: Tally, least: int) -> bool:
    """Return True if success fell significantly, with at least `least` samples on both sides."""
    if min(before.count, after.count) < least or after.rate >= before.rate:
        return False
    return _p_value(before, after) < SIGNIFICANT


def _after_shadow(rollout: RolloutEntry, evidence: Evidence) -> Step:
    if evidence.shadow_count < SHADOW_DECISIONS:
        if evidence.now_s - rollout.change_time_s > SHADOW_DAYS * _DAY_S:
            return Step(Act.DROP, f"{evidence.shadow_count} decisions in {SHADOW_DAYS:g} days are too few")
        return Step(Act.KEEP, f"shadow: {evidence.shadow_count} of {SHADOW_DECISIONS} decisions")
    differing = 1.0 - evidence.shadow_agreed_count / evidence.shadow_count
    explained = 1.0 - dict(rollout.evaluation).get("live_success", 1.0)
    if differing > explained + UNEXPLAINED:
        return Step(Act.DROP, f"it differs in {differing:.0%} of decisions; {explained:.0%} are explained")
    return Step(Act.CANARY, f"it agrees in {1 - differing:.0%} of {evidence.shadow_count} decisions")


def _after_canary(rollout: RolloutEntry, evidence: Evidence) -> Step:
    control, variant = evidence.control, evidence.variant
    began_with = dict(rollout.evaluation).get("accuracy")
    if evidence.accuracy is not None and began_with is not None and evidence.accuracy < began_with - ACCURACY_DROP:
        return Step(Act.DROP, f"routing accuracy fell from {began_with:.1%} to {evidence.accuracy:.1%}")
    if min(control.count, variant.count) < CANARY_SAMPLES:
        return Step(Act.KEEP, f"canary: {variant.count} and {control.count} of {CANARY_SAMPLES} samples")
    rates = f"right {variant.rate:.1%} of {variant.count}, the policy {control.rate:.1%} of {control.count}"
    if fell(control, variant, CANARY_SAMPLES) or variant.rate < control.rate - DROP:
        return Step(Act.DROP, f"canary {rates}")
    if variant.rate >= control.rate - TOLERANCE:
        return Step(Act.APPLY, f"canary {rates}")
    if variant.count >= CANARY_PATIENCE * CANARY_SAMPLES:
        return Step(Act.DROP, f"canary {rates}: not as good after many samples")
    return Step(Act.KEEP, f"canary {rates}: not yet as good")


def _p_value(one: Tally, other: Tally) -> float:
    return fisher(one.success_count, one.count, other.success_count, other.count)
