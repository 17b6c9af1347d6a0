"""Figures of labelled queries are counted as they are described."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.labelled import Labelled
from trunkline_cli.policy.measure import NOWHERE, batches, differences, is_right, measure

RULES, SEMANTIC = trail_pb.STRATEGY_RULES, trail_pb.STRATEGY_SEMANTIC
FALLBACK, NONE = trail_pb.STRATEGY_FALLBACK, trail_pb.STRATEGY_NONE


def _decided(
    strategy: trail_pb.Strategy.ValueType, *chosen: str, template: str = "", model_class: str = ""
) -> learning_pb.EvaluatedDecision:
    targets = [learning_pb.ScoredTarget(name=name, confidence=0.9) for name in chosen]
    return learning_pb.EvaluatedDecision(strategy=strategy, chosen=targets, template=template, model_class=model_class)


@pytest.mark.parametrize(
    ("labels", "strategy", "chosen", "right"),
    [
        (["a"], RULES, ["a"], True),
        (["a"], SEMANTIC, ["a", "b"], True),
        (["a"], SEMANTIC, ["b", "a"], False),  # the surest one counts
        (["a", "b"], SEMANTIC, ["b"], True),
        (["a"], NONE, [], False),
        (["a"], FALLBACK, ["a"], True),  # the fallback is the answer
        (["a"], FALLBACK, ["a", "b"], False),  # everything is searched because there is no answer
        ([], NONE, [], True),
        ([], FALLBACK, ["a", "b"], True),
        ([], SEMANTIC, ["a"], False),
    ],
)
def test_a_decision_is_right_or_not(
    labels: Sequence[str], strategy: trail_pb.Strategy.ValueType, chosen: Sequence[str], right: bool
) -> None:
    """In scope the surest collection must be a right one; out of scope no stage may decide."""
    assert is_right(Labelled("q", tuple(labels)), _decided(strategy, *chosen)) is right


def test_figures_count_everything_once() -> None:
    """Accuracy is of queries in scope alone; what is out of scope has its own shares; templates and classes theirs."""
    queries = [
        Labelled("1", ("a",), template="t"),
        Labelled("2", ("a",), template="t", model_class="simple"),
        Labelled("3", ("b",)),
        Labelled("4", ("b",)),
        Labelled("5", ()),
        Labelled("6", ()),
    ]
    decisions = [
        _decided(RULES, "a", template="t"),
        _decided(SEMANTIC, "b", "a", template="u", model_class="simple"),
        _decided(SEMANTIC, "b"),
        _decided(NONE),
        _decided(FALLBACK, "a", "b"),
        _decided(SEMANTIC, "a"),
    ]

    figures = measure(queries, decisions)

    assert (figures.in_scope, figures.right, figures.found, figures.missed) == (4, 2, 3, 1)
    assert figures.accuracy == 0.5
    assert (figures.out_of_scope_recall, figures.out_of_scope_precision) == (0.5, 0.5)
    assert figures.stages == {"RULES": 1, "SEMANTIC": 3, "NONE": 1, "FALLBACK": 1}
    assert figures.confusion == {("a", "b"): 1, ("b", NOWHERE): 1, (NOWHERE, "a"): 1}
    assert (figures.share_right("template"), figures.share_right("model_class")) == (0.5, 1.0)


def test_nothing_measured_is_told_as_nothing() -> None:
    """No share is made up where there are no queries of its kind."""
    figures = measure([], [])

    assert figures.accuracy is figures.out_of_scope_recall is figures.out_of_scope_precision is None
    assert figures.share_right("template") is None


def test_differences_are_judged_and_the_worst_come_first() -> None:
    """Only other collections are a difference; another order is none."""
    queries = [Labelled(text, ("a",)) for text in ("same", "order", "better", "worse", "other")]
    pairs = [
        (_decided(RULES, "a"), _decided(SEMANTIC, "a")),
        (_decided(RULES, "a", "b"), _decided(RULES, "b", "a")),
        (_decided(RULES, "b"), _decided(RULES, "a")),
        (_decided(RULES, "a"), _decided(NONE)),
        (_decided(RULES, "b"), _decided(RULES, "c")),
    ]
    results = [learning_pb.EvaluatedQuery(live=live, candidate=candidate) for live, candidate in pairs]

    found = differences(queries, results)

    assert [(item.text, item.verdict) for item in found] == [
        ("worse", "worse"),
        ("other", "other"),
        ("better", "better"),
    ]
    assert (found[0].right, found[0].live, found[0].candidate) == ("a", ("a",), ())


def test_batches_hold_every_query_in_order() -> None:
    """The last one may be smaller."""
    queries = [Labelled(str(number), ()) for number in range(5)]

    assert [[item.text for item in batch] for batch in batches(queries, 2)] == [["0", "1"], ["2", "3"], ["4"]]
