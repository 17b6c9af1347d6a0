"""Figures of decisions on labelled queries, and their confidence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from trunkline_policy.calibration import calibration_error, temperature_factor
from trunkline_policy.evaluation import Confusion, Judged, compare, evaluate
from trunkline_policy.evaluation_scope import auroc, auroc_interval


def judged(right: str, chosen: str, strategy: str = "semantic", score: float | None = None, text: str = "q") -> Judged:
    return Judged(text, frozenset(right.split()), tuple(chosen.split()), strategy, score)


def test_any_right_collection_counts_and_the_best_is_told_apart() -> None:
    """A fallback knows nothing, whatever it searches."""
    found = evaluate(
        [
            judged("a", "a b", "logical"),
            judged("a", "b a"),
            judged("a", "c"),
            judged("a b", "b"),
            judged("a", "a b c", "fallback"),
        ]
    )

    assert (found.accuracy, found.best_accuracy) == (0.6, 0.4)
    assert found.decided_share == {"fallback": 0.2, "logical": 0.2, "semantic": 0.6}
    assert found.accuracy_by_strategy == {"fallback": 0.0, "logical": 1.0, "semantic": pytest.approx(2 / 3)}
    assert found.confusions == (Confusion("a", "a", 1), Confusion("a", "b", 1), Confusion("a", "c", 1))


def test_what_belongs_nowhere_is_right_where_nothing_is_sure() -> None:
    """With recall, precision, F1 and AUROC."""
    found = evaluate(
        [
            judged("", "", "none", 0.1),
            judged("", "a", score=0.6),
            judged("a", "a", score=0.9),
            judged("a", "", "none", 0.5),
        ]
    )

    assert found.accuracy == 0.5
    assert (found.scope.outside_refused, found.scope.precision, found.scope.f1) == (0.5, 0.5, 0.5)
    assert found.scope.auroc == 0.75


def test_no_queries_have_no_figures() -> None:
    """And no division by zero."""
    found = evaluate([])

    assert (found.accuracy, found.accuracy_low, found.accuracy_high) == (0.0, 0.0, 1.0)
    assert found.scope.f1 is None


def test_a_comparison_tells_what_becomes_wrong_first() -> None:
    """And how likely the difference is chance."""
    before = [
        judged("a", "a", text="1"),
        judged("a", "b", text="2"),
        judged("a", "a", text="3"),
        judged("a", "b", text="4"),
    ]
    after = [
        judged("a", "a", text="1"),
        judged("a", "a", text="2"),
        judged("a", "b", text="3"),
        judged("a", "c", text="4"),
    ]

    found = compare(before, after)

    assert [(one.text, one.gain) for one in found.differences] == [("3", -1), ("2", 1), ("4", 0)]
    assert (found.better_count, found.worse_count, found.p_value) == (1, 1, 1.0)
    with pytest.raises(ValueError, match="same queries"):
        compare(before, after[:3])


SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=40)


@given(SCORES, SCORES)
def test_auroc_is_scikit_learns(inside: list[int], outside: list[int]) -> None:
    """Ties count half."""
    expected = roc_auc_score([1] * len(inside) + [0] * len(outside), inside + outside)

    assert auroc(inside, outside) == pytest.approx(expected)


def test_the_bootstrap_interval_holds_the_figure_and_repeats() -> None:
    """The seed is fixed."""
    generator = np.random.default_rng(1)
    inside, outside = generator.normal(1, 1, 200), generator.normal(0, 1, 100)

    low, high = auroc_interval(inside, outside)

    assert low < auroc(inside, outside) < high
    assert (low, high) == auroc_interval(inside, outside)


def test_temperature_undoes_overconfidence() -> None:
    """Labels drawn from known probabilities give the factor back."""
    generator = np.random.default_rng(2)
    logits = generator.normal(size=(4_000, 3)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    right = np.array([generator.choice(3, p=row) for row in shares])

    assert temperature_factor(logits * 3, right) == pytest.approx(1 / 3, rel=0.1)
    assert temperature_factor(np.zeros((0, 3)), np.zeros(0, dtype=int)) == 1.0


def test_calibration_error_is_the_gap_between_confidence_and_truth() -> None:
    """Zero where they agree."""
    assert calibration_error([0.5] * 10, [True, False] * 5, bins=1) == 0.0
    assert calibration_error([0.9] * 10, [False] * 10, bins=2) == pytest.approx(0.9)
    assert calibration_error([], []) == 0.0
