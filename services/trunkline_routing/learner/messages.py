"""Between the learner's values and the messages of its contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_policy import limits
from trunkline_policy.results import Caller, Candidate, StageResult
from trunkline_routing.control.fields import Fields
from trunkline_routing.edge.bounds import MAX_TEXT_BYTES
from trunkline_routing.learner.deciding import Outcome
from trunkline_routing.learner.evaluating import Evaluated, Question
from trunkline_routing.learner.learned import Learned
from trunkline_routing.learner.objectives import WEIGHTS, Part, objective
from trunkline_routing.learner.report import Comparison, RoutingReport

MAX_QUERIES: Final = 512
MAX_RIGHT: Final = 16
MAX_ROLES: Final = 32
MAX_ATTRIBUTES: Final = 8
MAX_WORD_CHARS: Final = 64
MAX_SCORED: Final = 8
"""Candidates of a stage that are told."""

_STRATEGIES: Final = {
    "logical": trail_pb.STRATEGY_RULES,
    "semantic": trail_pb.STRATEGY_SEMANTIC,
    "fallback": trail_pb.STRATEGY_FALLBACK,
    "all": trail_pb.STRATEGY_ALL,
    "refuse": trail_pb.STRATEGY_NONE,
    "none": trail_pb.STRATEGY_NONE,
}
_HEAD_KINDS: Final = {
    "prototypes": learning_pb.HEAD_KIND_PROTOTYPES,
    "linear": learning_pb.HEAD_KIND_LINEAR,
}


def parse_questions(request: learning_pb.EvaluatePolicyRequest) -> list[Question]:
    """Return the queries with who asks them; raise FieldInvalid for what is beyond the contract's bounds."""
    fields = Fields()
    fields.utf8("yaml", request.yaml, limits.MAX_POLICY_BYTES)
    fields.size("queries", len(request.queries), 1, MAX_QUERIES)
    for index, query in enumerate(request.queries[:MAX_QUERIES]):
        _check_query(fields, f"queries[{index}].", query)
    fields.check()
    return [Question(query.text, Caller(frozenset(query.roles), dict(query.attributes))) for query in request.queries]


def _check_query(fields: Fields, where: str, query: learning_pb.LabelledQuery) -> None:
    fields.require(bool(query.text.strip()), f"{where}text", "must not be empty")
    fields.utf8(f"{where}text", query.text, MAX_TEXT_BYTES)
    fields.size(f"{where}collections", len(query.collections), 0, MAX_RIGHT)
    fields.size(f"{where}roles", len(query.roles), 0, MAX_ROLES)
    fields.size(f"{where}attributes", len(query.attributes), 0, MAX_ATTRIBUTES)
    words = (*query.roles, *query.attributes, *query.attributes.values())
    fields.require(
        all(0 < len(word) <= MAX_WORD_CHARS for word in words),
        f"{where}roles",
        "and attributes have 1 to 64 characters",
    )


def render_evaluated(evaluated: Evaluated) -> learning_pb.EvaluatePolicyResponse:
    """Return the answer."""
    response = learning_pb.EvaluatePolicyResponse(live_version=evaluated.live_version)
    if evaluated.head is not None:
        response.head_kind = _HEAD_KINDS[evaluated.head.kind]
        response.example_count = evaluated.head.example_count
    for _ in evaluated.candidate or evaluated.live or ():
        response.results.add()
    for result, outcome in zip(response.results, evaluated.candidate or (), strict=False):
        result.candidate.CopyFrom(_decision(outcome))
    for result, outcome in zip(response.results, evaluated.live or (), strict=False):
        result.live.CopyFrom(_decision(outcome))
    return response


def render_learned(learned: Learned) -> learning_pb.LearnResponse:
    """Return the answer."""
    return learning_pb.LearnResponse(
        outcome=learned.outcome,
        rollout_id=learned.rollout_id,
        live_success=learned.live_success,
        proposal_success=learned.proposal_success,
        sample_count=learned.sample_count,
    )


def render_report(report: RoutingReport) -> learning_pb.GetRoutingReportResponse:
    """Return the answer."""
    response = learning_pb.GetRoutingReportResponse(
        tenant_id=report.tenant_id,
        accuracy=report.accuracy or 0.0,
        objective=objective(report.tier),
        violated=report.violated,
        parts=[_part(part) for part in report.parts],
        experiments=[_comparison(each) for each in report.comparisons],
        feedback_count=report.feedback_count,
        distrusted_count=report.distrusted_count,
        policy_version=report.policy_version,
    )
    response.retention.FromSeconds(int(report.retention_s))
    if report.learned is not None:
        response.last_outcome = report.learned.outcome
        response.last_learn_time.FromMicroseconds(int(report.learned_at_s * 1e6))
    return response


def _decision(outcome: Outcome) -> learning_pb.EvaluatedDecision:
    semantic = outcome.semantic or StageResult()
    similarity = semantic.candidates[0].similarity if semantic.candidates else None
    return learning_pb.EvaluatedDecision(
        strategy=_STRATEGIES[outcome.strategy],
        chosen=_scored(outcome.chosen, limits.MAX_CHOSEN),
        logical=_scored(outcome.logical.candidates, MAX_SCORED),
        semantic=_scored(semantic.candidates, MAX_SCORED),
        in_scope=semantic.in_scope or 0.0,
        template=outcome.template,
        model_class=outcome.model_class,
        similarity=similarity or 0.0,
    )


def _scored(candidates: Sequence[Candidate], most: int) -> list[learning_pb.ScoredTarget]:
    return [learning_pb.ScoredTarget(name=each.name, confidence=each.confidence) for each in candidates[:most]]


def _part(part: Part) -> learning_pb.AccuracyPart:
    message = learning_pb.AccuracyPart(
        name=part.name, weight=WEIGHTS[part.name], value=part.value, sample_count=part.sample_count
    )
    if part.measured_at_s:
        message.measure_time.FromMicroseconds(int(part.measured_at_s * 1e6))
    return message


def _comparison(comparison: Comparison) -> learning_pb.ExperimentReport:
    return learning_pb.ExperimentReport(
        experiment=comparison.name,
        shadow=comparison.shadow,
        arms=[
            learning_pb.ArmReport(
                arm=arm.name,
                sample_count=arm.tally.count,
                success_count=arm.tally.success_count,
                success_low=arm.low,
                success_high=arm.high,
            )
            for arm in comparison.arms
        ],
        p_value=comparison.p_value,
        shadow_count=comparison.shadow_count,
        shadow_agreed_count=comparison.shadow_agreed_count,
    )
