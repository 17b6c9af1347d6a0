"""The stages on a data set: how right, how well they tell what belongs nowhere, how much each decides, how quickly."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from tests.bench.routing_data import Dataset, Split
from trunkline_policy.basis import basis_texts
from trunkline_policy.cascade import logical_decides, settle
from trunkline_policy.drafting import draft_keywords
from trunkline_policy.evaluation import DECIDING
from trunkline_policy.evaluation_scope import auroc, auroc_interval, scope_figures
from trunkline_policy.fitting import Sample, fit_thresholds
from trunkline_policy.head import HeadSet
from trunkline_policy.logical import LogicalStage
from trunkline_policy.model import CollectionPolicy, RoutingPolicy, StrategyName, Thresholds
from trunkline_policy.results import StageResult
from trunkline_policy.training import train_heads

METHODS: Final[tuple[StrategyName, ...]] = ("logical", "semantic", "hybrid")
HELD_BACK: Final = 5
"""One text of so many is held back to fit thresholds."""
LEFT_OUT: Final = 10
"""One collection of so many is left out to stand for what belongs nowhere while thresholds are fitted."""
FITTED_ON: Final = 3_000
TIMED: Final = 1_000
F1_THRESHOLDS: Final = 100
GOALS: Final = {150: 0.95, 10: 0.98}


@dataclass(frozen=True, slots=True)
class Stages:
    """A policy with what decides by it."""

    policy: RoutingPolicy
    logical: LogicalStage
    head: HeadSet


@dataclass(frozen=True, slots=True)
class Answers:
    """What the stages make of a split."""

    labels: tuple[str, ...]
    logical: tuple[StageResult, ...]
    semantic: tuple[StageResult, ...]


def stages_of(train: Split, *, accuracy: float) -> Stages:
    """Make a policy of the examples, with drafted keywords, and train its head."""
    names = sorted(set(train.labels))
    examples = {
        name: [t for t, label in zip(train.texts, train.labels, strict=True) if label == name] for name in names
    }
    keywords = draft_keywords(examples)
    policy = RoutingPolicy.model_validate(
        {
            "version": 2,
            "max_collections": 1,
            "fallback": "none",
            "slo": {"accuracy": accuracy},
            "collections": {
                name: CollectionPolicy(examples=tuple(examples[name]), keywords=keywords.get(name, ()))
                for name in names
            },
        }
    )
    vectors = dict(zip(zip(train.labels, train.texts, strict=True), train.vectors, strict=True))
    texts = basis_texts(policy, {})
    matrix = np.stack([vectors[text.target, text.text] for text in texts])
    head = train_heads(texts, matrix, space_id="bench", model_id="minilm", model_revision="1")
    return Stages(policy, LogicalStage(policy), head)


def answers_of(stages: Stages, split: Split) -> Answers:
    """Ask both stages everything."""
    return Answers(
        split.labels,
        tuple(stages.logical.decide(text) for text in split.texts),
        tuple(stages.head.decide(vector).collections for vector in split.vectors),
    )


def fitted(train: Split, method: StrategyName, *, accuracy: float) -> Thresholds:
    """Return thresholds fitted on a part of `train` alone: texts held back, some of collections left out."""
    names = sorted(set(train.labels))
    left_out = set(names[:: LEFT_OUT if len(names) > LEFT_OUT else len(names) // 2])
    held = [row for row in range(len(train.texts)) if row % HELD_BACK == 0]
    shown = [row for row in range(len(train.texts)) if row % HELD_BACK and train.labels[row] not in left_out]
    stages = _known(shown, train, accuracy)
    asked = train.part(held[:: max(1, len(held) // FITTED_ON)])
    answers = answers_of(stages, asked)
    samples = [
        Sample(frozenset() if label in left_out else frozenset({label}), logical, semantic)
        for label, logical, semantic in zip(answers.labels, answers.logical, answers.semantic, strict=True)
    ]
    return fit_thresholds(stages.policy.model_copy(update={"strategy": method}), samples).thresholds


_PARTS: dict[tuple[int, int], Stages] = {}


def _known(shown: Sequence[int], train: Split, accuracy: float) -> Stages:
    """Train once for all methods of a data set."""
    key = (id(train), len(shown))
    if key not in _PARTS:
        _PARTS[key] = stages_of(train.part(shown), accuracy=accuracy)
    return _PARTS[key]


def rows_of(data: Dataset, log: Callable[[str], None]) -> list[dict[str, Any]]:
    """Return a row for each method."""
    count = len(data.collections)
    goal = GOALS.get(count, 0.95)
    log(f"{data.name}: training")
    stages = stages_of(data.train, accuracy=goal)
    asked, outside = answers_of(stages, data.asked), answers_of(stages, data.outside)
    found = []
    for method in METHODS:
        log(f"{data.name}: fitting thresholds of {method}")
        policy = stages.policy.model_copy(
            update={"strategy": method, "thresholds": fitted(data.train, method, accuracy=goal)}
        )
        row = {"method": method, "dataset": data.name, "classes": count, **figures(policy, asked, outside)}
        row["us_per_decision"] = microseconds(policy, stages, data.asked)
        row["thresholds"] = policy.thresholds.model_dump(exclude_none=True)
        log(f"{data.name}: {method} accuracy {row['accuracy']}, scope {row['oos_auroc']}")
        found.append(row)
    return found


def figures(policy: RoutingPolicy, asked: Answers, outside: Answers) -> dict[str, Any]:
    """Return a method's figures.

    `accuracy` gives every query its best collection, as a classifier does (what rules find nothing in counts as
    wrong); the rest is by the fitted thresholds, under which nothing may be sure.
    """
    eager = policy.model_copy(update={"thresholds": policy.thresholds.model_copy(update=_EAGER[policy.strategy])})
    best = [_first(eager, *pair) for pair in zip(asked.logical, asked.semantic, strict=True)]
    settled = [settle(policy, *pair) for pair in zip(asked.logical, asked.semantic, strict=True)]
    refused = [settle(policy, *pair) for pair in zip(outside.logical, outside.semantic, strict=True)]
    sure = [one.strategy in DECIDING for one in settled]
    right = [one.chosen[0].name == label for one, label in zip(settled, asked.labels, strict=True) if one.chosen]
    inside_scores, outside_scores = scores(policy, asked), scores(policy, outside)
    decisions = [(True, one, None) for one in sure]
    decisions += [(False, one.strategy in DECIDING, None) for one in refused]
    shares = Counter(one.strategy if one.chosen else "undecided" for one in settled)
    return {
        "accuracy": _rounded(np.mean([name == label for name, label in zip(best, asked.labels, strict=True)])),
        "oos_auroc": _rounded(auroc(inside_scores, outside_scores)),
        "oos_auroc_ci": [_rounded(end) for end in auroc_interval(inside_scores, outside_scores)],
        "oos_f1": _rounded(scope_figures(decisions).f1 or 0.0),
        "oos_f1_best": best_f1(inside_scores, outside_scores),
        "decided_share": {name: _rounded(number / len(settled)) for name, number in sorted(shares.items())},
        "accuracy_of_decided": _rounded(np.mean(right) if right else 0.0),
        "accuracy_with_refusals": _rounded(sum(right) / len(settled)),
        "oos_refused": _rounded(1 - np.mean([one.strategy in DECIDING for one in refused])),
    }


def best_f1(inside: Sequence[float], outside: Sequence[float]) -> float:
    """Return the F1 of the threshold that suits best the very queries that are asked: more than anybody could know.

    It compares scores whose thresholds are chosen in other ways, or not at all.
    """
    found = []
    for least in np.quantile([*inside, *outside], np.linspace(0, 1, F1_THRESHOLDS)):
        decisions = [(True, score >= least, None) for score in inside]
        decisions += [(False, score >= least, None) for score in outside]
        found.append(scope_figures(decisions).f1 or 0.0)
    return _rounded(max(found))


_EAGER: Final[dict[StrategyName, dict[str, float]]] = {
    "logical": {"logical": 0.0},
    "semantic": {"semantic": 0.0, "in_scope": 0.0},
    "hybrid": {"semantic": 0.0, "in_scope": 0.0},
}


def _first(policy: RoutingPolicy, logical: StageResult, semantic: StageResult) -> str:
    chosen = settle(policy, logical, semantic).chosen
    return chosen[0].name if chosen else ""


def scores(policy: RoutingPolicy, answers: Answers) -> list[float]:
    """Return how surely each query belongs anywhere, as far as the method has asked: by rules, by semantics or both."""
    if policy.strategy == "logical":
        return [one.confidence for one in answers.logical]
    belongs = [one.in_scope or 0.0 for one in answers.semantic]
    if policy.strategy == "semantic":
        return belongs
    return [
        max(score, logical.confidence) if logical_decides(policy, logical) else score
        for score, logical in zip(belongs, answers.logical, strict=True)
    ]


def microseconds(policy: RoutingPolicy, stages: Stages, asked: Split) -> float:
    """Return the median time of a decision, the embedding not included."""
    times = []
    for text, vector in zip(asked.texts[:TIMED], asked.vectors[:TIMED], strict=True):
        started_s = time.perf_counter()
        logical = stages.logical.decide(text) if policy.strategy != "semantic" else None
        decided = logical is not None and logical_decides(policy, logical)
        semantic = None
        if policy.strategy != "logical" and not decided:
            semantic = stages.head.decide(vector).collections
        settle(policy, logical, semantic)
        times.append(time.perf_counter() - started_s)
    return round(float(np.median(times)) * 1e6, 1)


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)
