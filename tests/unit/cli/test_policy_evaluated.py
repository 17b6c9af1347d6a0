"""Labelled queries go to a learner in batches; what comes back is shown, compared and fitted."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from rich.console import Console

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.exits import CliError
from trunkline_cli.output import Output
from trunkline_cli.policy.fit import fitted_thresholds
from trunkline_cli.policy.labelled import Labelled
from trunkline_cli.policy.learners import BATCH, Evaluated, evaluate
from trunkline_cli.policy.measure_view import evaluation_data, show_evaluation
from trunkline_client import LearningClient
from trunkline_policy.document import parse_policy

POLICY = "version: 2\nfallback: none\ncollections: {a: {keywords: [x]}, b: {keywords: [y]}}\n"


def _decision(
    strategy: trail_pb.Strategy.ValueType, name: str, confidence: float, in_scope: float
) -> learning_pb.EvaluatedDecision:
    target = learning_pb.ScoredTarget(name=name, confidence=confidence)
    chosen = [] if strategy == trail_pb.STRATEGY_NONE else [target]
    return learning_pb.EvaluatedDecision(strategy=strategy, chosen=chosen, semantic=[target], in_scope=in_scope)


class _Learner(LearningClient):
    """Sends even queries to `a` and odd ones to `b`; the live policy sends all to `a`."""

    def __init__(self, live_version: int = 3) -> None:
        super().__init__(["127.0.0.1:1"], "token")
        self.asked: list[Sequence[str]] = []
        self._live_version = live_version

    async def evaluate(
        self,
        queries: Sequence[learning_pb.LabelledQuery],
        *,
        tenant_id: str = "",
        yaml: str = "",
        deadline_s: float | None = None,
    ) -> learning_pb.EvaluatePolicyResponse:
        self.asked.append([query.text for query in queries])
        response = learning_pb.EvaluatePolicyResponse(
            live_version=self._live_version, head_kind=learning_pb.HEAD_KIND_LINEAR, example_count=40
        )
        for query in queries:
            even = int(query.text) % 2 == 0
            candidate = _decision(trail_pb.STRATEGY_SEMANTIC, "a" if even else "b", 0.9, 0.8) if yaml else None
            live = _decision(trail_pb.STRATEGY_RULES, "a", 0.9, 0.8) if self._live_version else None
            response.results.append(learning_pb.EvaluatedQuery(candidate=candidate, live=live))
        return response


def _queries(count: int) -> list[Labelled]:
    return [Labelled(str(number), ("a" if number % 2 == 0 else "b",)) for number in range(count)]


async def _evaluated(count: int, *, yaml: str = POLICY, live_version: int = 3) -> tuple[Evaluated, _Learner]:
    learner = _Learner(live_version)
    return await evaluate(learner, "acme", yaml, _queries(count), lambda done, total, note: None), learner


async def test_queries_go_in_batches_and_keep_their_order() -> None:
    """The last batch is what is left."""
    evaluated, learner = await _evaluated(2 * BATCH + 1)

    assert [len(batch) for batch in learner.asked] == [BATCH, BATCH, 1]
    assert all(item.best_correct for item in evaluated.judged)
    assert (evaluated.head_kind, evaluated.live_version) == ("linear", 3)


async def test_a_candidate_is_compared_with_the_live_policy() -> None:
    """The table has both; what becomes right is told as better."""
    evaluated, _ = await _evaluated(4)
    page = io.StringIO()

    show_evaluation(Output(False, Console(file=page)), evaluated)
    data = evaluation_data(evaluated)

    assert "accuracy\t100.0%\t50.0%" in page.getvalue()
    assert "decided by: semantic 100%" in page.getvalue()
    assert "cost: 1,000 units for 1,000 decisions" in page.getvalue()
    assert "better 1: a -> b" in page.getvalue()
    assert (data["figures"]["accuracy"], data["live_figures"]["accuracy"]) == (1.0, 0.5)
    assert (data["better"], data["worse"], len(data["results"])) == (2, 0, 4)


async def test_the_live_policy_alone_has_no_comparison() -> None:
    """What it mixes up is told."""
    evaluated, _ = await _evaluated(4, yaml="")
    page = io.StringIO()

    show_evaluation(Output(False, Console(file=page)), evaluated)

    assert "confused: 2 of b went to a" in page.getvalue()
    assert "against the live policy" not in page.getvalue()
    assert evaluation_data(evaluated)["live_figures"] is None


async def test_a_first_policy_is_measured_without_a_live_one() -> None:
    """And to ask about a live one that is not there is told as that."""
    evaluated, _ = await _evaluated(4, live_version=0)

    assert evaluated.judged_live is None
    with pytest.raises(CliError, match="has no live policy"):
        await _evaluated(4, yaml="", live_version=0)


async def test_thresholds_are_fitted_to_what_the_learner_says() -> None:
    """The stages' own results are tried with other thresholds; what was right stays right."""
    evaluated, _ = await _evaluated(30)

    fitted = fitted_thresholds(parse_policy(POLICY), evaluated)

    assert fitted.score.accuracy == 1.0
    assert fitted.thresholds.semantic <= 0.9
    assert fitted.reasons
