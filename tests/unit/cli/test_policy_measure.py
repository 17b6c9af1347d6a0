"""What a learner says of labelled queries becomes figures."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.labelled import Labelled
from trunkline_cli.policy.measure import batches, cost_per_1000, judged, judged_all, targets_right

RULES, SEMANTIC = trail_pb.STRATEGY_RULES, trail_pb.STRATEGY_SEMANTIC
FALLBACK, NONE = trail_pb.STRATEGY_FALLBACK, trail_pb.STRATEGY_NONE


def _decided(
    strategy: trail_pb.Strategy.ValueType, *chosen: str, template: str = "", model_class: str = ""
) -> learning_pb.EvaluatedDecision:
    targets = [learning_pb.ScoredTarget(name=name, confidence=0.9) for name in chosen]
    return learning_pb.EvaluatedDecision(strategy=strategy, chosen=targets, template=template, model_class=model_class)


@pytest.mark.parametrize(
    ("labels", "strategy", "chosen", "right", "searched"),
    [
        (["a"], RULES, ["a"], True, True),
        (["a"], SEMANTIC, ["a", "b"], True, True),
        (["a"], SEMANTIC, ["b", "a"], False, True),  # searched, and not the surest
        (["a", "b"], SEMANTIC, ["b"], True, True),
        (["a"], NONE, [], False, False),
        ([], NONE, [], True, True),
        ([], FALLBACK, ["a", "b"], True, True),  # no stage was sure
        ([], SEMANTIC, ["a"], False, False),
    ],
)
def test_a_decision_is_right_or_not(
    labels: Sequence[str], strategy: trail_pb.Strategy.ValueType, chosen: Sequence[str], right: bool, searched: bool
) -> None:
    """In scope the surest collection must be a right one; out of scope no stage may decide."""
    one = judged(Labelled("q", tuple(labels)), _decided(strategy, *chosen))

    assert (one.best_correct, one.correct) == (right, searched)


def test_every_strategy_of_the_contract_has_its_word() -> None:
    """A newer one is told as unknown."""
    words = {judged(Labelled("q", ()), _decided(number)).strategy for number in trail_pb.Strategy.values()[1:]}

    assert len(words) == len(trail_pb.Strategy.values()) - 1
    assert not any(word.startswith("unknown") for word in words)
    newer = learning_pb.EvaluatedDecision.FromString(b"\x08\x63")
    assert judged(Labelled("q", ()), newer).strategy == "unknown 99"


def test_scope_is_known_only_where_semantics_were_asked() -> None:
    """A zero of a stage that was not asked is no probability."""
    asked = _decided(SEMANTIC, "a")
    asked.semantic.add(name="a", confidence=0.2)

    assert judged(Labelled("q", ()), asked).in_scope == 0.0
    assert judged(Labelled("q", ()), _decided(RULES, "a")).in_scope is None


def test_templates_and_model_classes_have_their_own_shares() -> None:
    """Of the queries that are labelled with one."""
    queries = [
        Labelled("1", (), template="t"),
        Labelled("2", (), template="t", model_class="simple"),
        Labelled("3", ()),
    ]
    decisions = [_decided(NONE, template="t"), _decided(NONE, template="u", model_class="simple"), _decided(NONE)]

    assert targets_right(queries, decisions) == {"template": 0.5, "model_class": 1.0}
    assert targets_right(queries[2:], decisions[2:]) == {"template": None, "model_class": None}


def test_rules_cost_nothing_and_all_behind_them_an_embedding() -> None:
    """The figure is for a thousand decisions."""
    queries = [Labelled(str(number), ("a",)) for number in range(4)]
    decisions = [_decided(RULES, "a"), _decided(SEMANTIC, "a"), _decided(FALLBACK, "a"), _decided(NONE)]

    assert cost_per_1000(judged_all(queries, decisions)) == 750.0
    assert cost_per_1000([]) == 0.0


def test_batches_hold_every_query_in_order() -> None:
    """The last one may be smaller."""
    queries = [Labelled(str(number), ()) for number in range(5)]

    assert [[item.text for item in batch] for batch in batches(queries, 2)] == [["0", "1"], ["2", "3"], ["4"]]
