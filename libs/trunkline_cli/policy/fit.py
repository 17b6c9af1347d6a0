"""Fits a policy's thresholds to labelled queries that a learner has decided."""

from __future__ import annotations

from collections.abc import Sequence

from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.learners import Evaluated
from trunkline_policy.fitting import Fitted, Sample, fit_thresholds
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Candidate, StageResult


def fitted_thresholds(policy: RoutingPolicy, evaluated: Evaluated) -> Fitted:
    """Return the cheapest thresholds that reach the accuracy that the policy asks; seconds for 3,000 queries.

    What rules exclude is not told by learners, so it is not in the stages' results either.
    """
    pairs = zip(evaluated.queries, evaluated.decisions, strict=True)
    return fit_thresholds(policy, [_sample(query.collections, decision) for query, decision in pairs])


def _sample(right: Sequence[str], decision: learning_pb.EvaluatedDecision) -> Sample:
    semantic = None
    if decision.semantic:
        nearest, *others = decision.semantic
        first = Candidate(nearest.name, nearest.confidence, similarity=decision.similarity)
        semantic = StageResult((first, *map(_candidate, others)), in_scope=decision.in_scope)
    return Sample(frozenset(right), StageResult(tuple(map(_candidate, decision.logical))), semantic)


def _candidate(target: learning_pb.ScoredTarget) -> Candidate:
    return Candidate(target.name, target.confidence)
