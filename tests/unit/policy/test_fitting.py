"""Thresholds fitted to labelled queries."""

from __future__ import annotations

import pytest

from trunkline_policy.fitting import Sample, fit_thresholds, score
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Candidate, StageResult


def policy_of(strategy: str = "hybrid", accuracy: float = 0.9) -> RoutingPolicy:
    return RoutingPolicy.model_validate(
        {
            "version": 2,
            "strategy": strategy,
            "max_collections": 1,
            "fallback": "none",
            "slo": {"accuracy": accuracy},
            "collections": {"a": {}, "b": {}},
        }
    )


def stage(name: str, confidence: float, in_scope: float | None = None) -> StageResult:
    return StageResult((Candidate(name, confidence),), in_scope)


def samples() -> list[Sample]:
    """Rules are right where they are sure; semantics always are, and know what belongs nowhere."""
    found = []
    for number in range(120):
        right = "ab"[number % 2]
        sure = number % 3 != 0
        logical = stage(right, 0.7) if sure else stage("ba"[number % 2], 0.5)
        found.append(Sample(frozenset({right}), logical, stage(right, 0.9, 0.95)))
    found += [Sample(frozenset(), StageResult(), stage("a", 0.9, 0.4)) for _ in range(40)]
    return found


def test_rules_decide_all_that_they_get_right() -> None:
    """That is the least cost at full accuracy."""
    found = fit_thresholds(policy_of(accuracy=0.98), samples())

    assert 0.5 < found.thresholds.logical <= 0.7
    assert 0.4 < found.thresholds.in_scope <= 0.95
    assert found.score.accuracy == 1.0
    assert found.reached
    assert found.score.cost < found.before.cost


def test_accuracy_that_cannot_be_reached_is_said_so() -> None:
    """And comes as near as it can."""
    wrong = [Sample(frozenset({"b"}), stage("a", 0.9), stage("a", 0.9, 0.9)) for _ in range(60)]

    found = fit_thresholds(policy_of(accuracy=0.95), samples() + wrong)

    assert not found.reached
    assert any("no thresholds reach" in reason for reason in found.reasons)


def test_without_queries_that_belong_nowhere_in_scope_stays() -> None:
    """Nothing is known about it."""
    known = [sample for sample in samples() if sample.right]

    found = fit_thresholds(policy_of(), known)

    assert found.thresholds.in_scope == policy_of().thresholds.in_scope
    assert any("belong nowhere" in reason for reason in found.reasons)


def test_the_fitted_policy_scores_what_was_said() -> None:
    """The same cascade judges; the result repeats."""
    policy = policy_of()

    found = fit_thresholds(policy, samples())

    assert found == fit_thresholds(policy, samples())
    assert score(policy.model_copy(update={"thresholds": found.thresholds}), samples()) == found.score
    assert found.expected_low <= found.expected_accuracy <= found.expected_high


def test_a_logical_policy_keeps_what_semantics_are_asked() -> None:
    """Only its own threshold moves."""
    found = fit_thresholds(policy_of("logical"), samples())

    assert found.thresholds.semantic == policy_of().thresholds.semantic
    assert found.thresholds.in_scope == policy_of().thresholds.in_scope


def test_nothing_can_be_fitted_to_nothing() -> None:
    """It is an error, no guess."""
    with pytest.raises(ValueError, match="labelled"):
        fit_thresholds(policy_of(), [])
