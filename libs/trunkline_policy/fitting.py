"""Thresholds fitted to labelled queries: the accuracy that a policy asks, at the least cost.

What decides is the cascade itself, so that nothing here can differ from it; only its thresholds are tried out.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from trunkline_policy.cascade import settle
from trunkline_policy.evaluation import DECIDING
from trunkline_policy.model import RoutingPolicy, Thresholds
from trunkline_policy.results import StageResult
from trunkline_policy.significance import wilson

MAX_SAMPLES: Final = 3_000
"""Queries that are looked at, drawn from those given."""
FOLDS: Final = 3
LEAST_OUTSIDE: Final = 10
"""Queries that belong nowhere without which `in_scope` stays as it is."""
EMBEDDING_COST: Final = 5.0
"""What asking semantics costs, in searches of one collection: an embedding is a call of a model."""
MARGINS: Final = (0.0, 0.05, 0.1, 0.15, 0.25, 0.4)
STEPS: Final = 16
"""Values of a threshold that are tried."""
MAX_PASSES: Final = 3
"""How often each threshold is tried again after the others."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A labelled query with what each stage made of it. Its label must not have been used to train the stages."""

    right: frozenset[str]
    """Any of them is right; empty: the query belongs nowhere."""
    logical: StageResult | None
    semantic: StageResult | None


@dataclass(frozen=True, slots=True)
class Score:
    """How good and how dear the decisions about some samples are."""

    accuracy: float
    """Share for which a stage chose a right collection, or none chose anything where nothing is right."""
    cost: float
    """Mean for each query, in searches of one collection."""
    rules_share: float
    """Share that rules decide, so that nothing is embedded."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """Fitted thresholds, and what may be expected of them."""

    thresholds: Thresholds
    score: Score
    """On the samples that they were fitted to."""
    before: Score
    """The same of the policy's own thresholds."""
    expected_accuracy: float
    """On samples that thresholds fitted in the same way were not shown (cross validation)."""
    expected_low: float
    expected_high: float
    """Ends of its 95 % Wilson interval."""
    reached: bool
    """Whether the expected accuracy is what the policy asks."""
    reasons: tuple[str, ...]
    """In words."""


def fit_thresholds(policy: RoutingPolicy, samples: Sequence[Sample]) -> Fitted:
    """Return the cheapest thresholds that reach `policy.slo.accuracy`, or the most accurate if none does.

    Deterministic; seconds for `MAX_SAMPLES`. Thresholds that a policy's strategy or the samples say nothing about
    stay. Raises ValueError without samples.
    """
    if not samples:
        raise ValueError("thresholds are fitted to labelled queries")
    # Shuffled, the same way each time: labelled files are often sorted, and folds must be alike.
    used = random.Random(0).sample(list(samples), min(len(samples), MAX_SAMPLES))  # noqa: S311 - no secret
    right = count = 0
    if len(used) >= 2 * FOLDS:
        for fold in range(FOLDS):
            shown = [sample for number, sample in enumerate(used) if number % FOLDS != fold]
            held = used[fold::FOLDS]
            right += round(score(_search(policy, shown), held).accuracy * len(held))
            count += len(held)
    best = _search(policy, used)
    found = score(best, used)
    expected = right / count if count else found.accuracy
    low, high = wilson(right, count)
    before = score(policy, used)
    reached = expected >= policy.slo.accuracy
    return Fitted(
        best.thresholds, found, before, expected, low, high, reached, _reasons(policy, best, before, found, used)
    )


def score(policy: RoutingPolicy, samples: Sequence[Sample]) -> Score:
    """Return how good and how dear a policy's decisions are. Raises ValueError without samples."""
    if not samples:
        raise ValueError("decisions are judged on labelled queries")
    right, cost, by_rules = 0, 0.0, 0
    for sample in samples:
        settled = settle(policy, sample.logical, sample.semantic)
        decided = settled.strategy in DECIDING and bool(settled.chosen)
        names = {candidate.name for candidate in settled.chosen} if decided else set()
        right += bool(names & sample.right) if sample.right else not decided
        rules = decided and settled.strategy == "logical"
        by_rules += rules
        cost += (0.0 if rules or sample.semantic is None else EMBEDDING_COST) + _searches(policy, len(names), decided)
    return Score(right / len(samples), cost / len(samples), by_rules / len(samples))


def _searches(policy: RoutingPolicy, chosen: int, decided: bool) -> int:
    if decided:
        return chosen
    if isinstance(policy.fallback, tuple):
        return len(policy.fallback)
    return len(policy.collections) if policy.fallback == "all" else 0


def _search(policy: RoutingPolicy, samples: Sequence[Sample]) -> RoutingPolicy:
    """Improve one threshold after the other until none gets better."""
    best, best_score = policy, score(policy, samples)
    for _ in range(MAX_PASSES):
        start = best
        for field, values in _grids(policy, samples):
            for value in values:
                tried = policy.model_copy(
                    update={"thresholds": best.thresholds.model_copy(update={field: round(float(value), 4)})}
                )
                found = score(tried, samples)
                if _better(found, best_score, policy.slo.accuracy):
                    best, best_score = tried, found
        if best is start:
            break
    return best


def _better(one: Score, other: Score, wanted: float) -> bool:
    """Return whether `one` reaches what is wanted for less, or comes nearer to it."""
    if one.accuracy >= wanted and other.accuracy >= wanted:
        return (one.cost, -one.accuracy) < (other.cost, -other.accuracy)
    return (one.accuracy, -one.cost) > (other.accuracy, -other.cost)


def _grids(policy: RoutingPolicy, samples: Sequence[Sample]) -> Iterator[tuple[str, Sequence[float]]]:
    """Yield each threshold that the samples say something about, with the values to try."""
    semantics = policy.strategy in ("semantic", "hybrid")
    outside = sum(not sample.right for sample in samples)
    if semantics and outside >= LEAST_OUTSIDE:
        scopes = [sample.semantic.in_scope for sample in samples if sample.semantic is not None]
        yield "in_scope", _quantiles([value for value in scopes if value is not None])
    if semantics:
        yield "semantic", _quantiles([sample.semantic.confidence for sample in samples if sample.semantic is not None])
    if policy.strategy in ("logical", "hybrid"):
        yield "logical", [*_quantiles([one.logical.confidence for one in samples if one.logical is not None]), 1.0]
    if policy.max_collections > 1:
        yield "margin", MARGINS


def _quantiles(values: Sequence[float]) -> Sequence[float]:
    """Return values that part what was seen, each a little below one that occurs, and 0."""
    if not values:
        return ()
    found: Any = np.quantile(np.asarray(values), np.linspace(0.0, 1.0, STEPS), method="lower")
    return sorted({0.0, *(max(0.0, round(float(value) - 5e-5, 4)) for value in found)})


def _reasons(
    policy: RoutingPolicy, best: RoutingPolicy, before: Score, found: Score, samples: Sequence[Sample]
) -> tuple[str, ...]:
    asked = policy.slo.accuracy
    outside = sum(not sample.right for sample in samples)
    reasons = [
        f"accuracy {before.accuracy:.3f} -> {found.accuracy:.3f} of the {asked:.3f} asked on {len(samples)} queries",
        f"cost {before.cost:.2f} -> {found.cost:.2f} searches a query; rules decide {found.rules_share:.0%}",
    ]
    for name in ("logical", "semantic", "in_scope", "margin"):
        old, new = getattr(policy.thresholds, name), getattr(best.thresholds, name)
        if old != new:
            reasons.append(f"{name} {old:g} -> {new:g}")
    if outside < LEAST_OUTSIDE:
        reasons.append(f"in_scope stays: {outside} of the queries belong nowhere, {LEAST_OUTSIDE} are needed")
    if found.accuracy < asked:
        reasons.append("no thresholds reach the accuracy asked: the examples or the labels limit it")
    return tuple(reasons)
