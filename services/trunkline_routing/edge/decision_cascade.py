"""One decision by a policy: whoever is asked first, rules, semantics, the fallback; each step told."""

from __future__ import annotations

import time
from dataclasses import replace

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import SpaceEntry
from trunkline_mesh.errors import DomainError, SpaceUnknown
from trunkline_policy.cascade import logical_decides, settle
from trunkline_policy.head import SemanticResult
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import StageResult
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.decision_budget import EMBEDDING_COST, DecisionBudget
from trunkline_routing.edge.decision_course import DecisionCourse
from trunkline_routing.edge.decision_outside import OutsideStep, ask_outside
from trunkline_routing.edge.decision_settled import chosen_of, decision_of
from trunkline_routing.edge.head_book import HeadBook
from trunkline_routing.edge.model import Decision, Gate, Step
from trunkline_routing.edge.query_vectors import QueryVectors

_DECIDED = trail_pb.DECISION_STAGE_OUTCOME_DECIDED
_UNSURE = trail_pb.DECISION_STAGE_OUTCOME_UNSURE


class Cascade:
    """Decides by policies."""

    def __init__(
        self,
        heads: HeadBook,
        vectors: QueryVectors,
        budget: DecisionBudget,
        own_router: OutsideStep,
        classifier: OutsideStep,
    ) -> None:
        """Share heads, vectors and accounts among all decisions."""
        self._heads = heads
        self._vectors = vectors
        self._budget = budget
        self._own_router = own_router
        self._classifier = classifier

    async def run(self, course: DecisionCourse) -> Decision:
        """Return the decision. Raises FieldInvalid where everything would be searched, and is too much."""
        policy, gate = course.policy, course.gate
        if policy.budget.cost_per_1000 is not None:
            self._budget.earn(gate.tenant.tenant_id, policy.budget.cost_per_1000)
        if policy.slo.decision_ms is not None:
            course.deadline = course.deadline.within(policy.slo.decision_ms / 1000)
        _consider(course)
        began_s = time.perf_counter()
        # Rules come first whoever decides: what they exclude holds for every step, and they take microseconds.
        logical = _existing(gate, course.lane.prepared.logical.decide(course.text, course.caller))
        logical_s = time.perf_counter() - began_s
        if policy.strategy == "all":
            return decision_of(course, settle(policy, logical, None))
        if policy.own_router.enabled:
            found = await self._outside(course, self._own_router, policy, logical.excluded)
            if found is not None:
                return found
        if policy.classifier.enabled and policy.classifier.when == "first":
            found = await self._outside(course, self._classifier, policy, logical.excluded)
            if found is not None:
                return found
        return await self._inside(course, logical, logical_s)

    async def _inside(self, course: DecisionCourse, logical: StageResult, logical_s: float) -> Decision:
        policy = course.policy
        sure = logical_decides(policy, logical)
        if policy.strategy != "semantic":
            outcome = _DECIDED if sure else _UNSURE
            course.steps.append(Step(trail_pb.DECISION_STAGE_LOGICAL, outcome, logical.confidence, logical_s))
        # The embedding is begun only here: beside the rules, which take microseconds, it would win nothing, and most
        # queries never need it.
        if not sure and policy.strategy in ("semantic", "hybrid") and course.entries:
            await self._semantic(course)
        semantic = course.semantic
        settled = settle(policy, logical, semantic.collections if semantic is not None else None)
        if settled.strategy == "semantic":
            _decided_by_semantics(course)
        elif settled.strategy != "logical":
            if policy.classifier.enabled and policy.classifier.when == "unsure":
                found = await self._outside(course, self._classifier, policy, logical.excluded)
                if found is not None:
                    return found
            course.steps.append(Step(trail_pb.DECISION_STAGE_FALLBACK, _DECIDED, settled.confidence))
        return decision_of(course, settled)

    async def _outside(
        self, course: DecisionCourse, one: OutsideStep, policy: RoutingPolicy, excluded: frozenset[str]
    ) -> Decision | None:
        if _left_out(course, one.stage):
            return None
        wanted = policy.own_router if one is self._own_router else policy.classifier
        offered = [
            (name, policy.collections[name].description or entry.description)
            for name, entry in course.entries.items()
            if name not in excluded
        ]
        asked = await ask_outside(
            one,
            wanted,
            policy,
            course.gate,
            course.text,
            offered,
            budget=self._budget,
            deadline=course.deadline,
            trail=course.trail,
        )
        course.steps.append(asked.step)
        return chosen_of(course, one.strategy, asked.chosen) if asked.chosen else None

    async def _semantic(self, course: DecisionCourse) -> None:
        stage = trail_pb.DECISION_STAGE_SEMANTIC
        if _left_out(course, stage):
            return
        costs = course.policy.budget.cost_per_1000 is not None
        if costs and not self._budget.spend(course.gate.tenant.tenant_id, EMBEDDING_COST):
            course.trail.degrade(trail_pb.DEGRADATION_REASON_DECISION_BUDGET_SPENT)
            course.steps.append(Step(stage, trail_pb.DECISION_STAGE_OUTCOME_SKIPPED_BUDGET))
            return
        began_s = time.perf_counter()
        try:
            course.semantic = await self._by_vector(course)
        except (DomainError, TimeoutError, ValueError):  # ValueError: a vector of another length than the map says
            course.trail.degrade(trail_pb.DEGRADATION_REASON_DECISION_WITHOUT_SEMANTICS)
            failed = trail_pb.DECISION_STAGE_OUTCOME_FAILED
            course.steps.append(Step(stage, failed, 0.0, time.perf_counter() - began_s, EMBEDDING_COST))
            return
        found = course.semantic.collections
        course.in_scope = found.in_scope
        inside = found.in_scope is None or found.in_scope >= course.policy.thresholds.in_scope
        outcome = _UNSURE if inside else trail_pb.DECISION_STAGE_OUTCOME_OUT_OF_SCOPE
        course.steps.append(Step(stage, outcome, found.confidence, time.perf_counter() - began_s, EMBEDDING_COST))

    async def _by_vector(self, course: DecisionCourse) -> SemanticResult:
        gate = course.gate
        collections = gate.snapshot.collections_of(gate.tenant.tenant_id)
        space: SpaceEntry | None = course.lane.space(gate, collections)
        if space is None:
            raise SpaceUnknown
        walls = gates.wall(gate, course.entries.values())
        [vector] = await self._vectors.of(
            gate, space, [course.text], wall=walls, deadline=course.deadline, trail=course.trail
        )
        ready = await self._heads.get(gate, course.lane, space, course.deadline)
        if ready.missing:
            course.trail.degrade(trail_pb.DEGRADATION_REASON_HEAD_UNAVAILABLE)
        course.head_digest = ready.digest
        return ready.head.decide(vector)


def _left_out(course: DecisionCourse, stage: trail_pb.DecisionStage.ValueType) -> bool:
    """Tell of a step that the request's terms leave out."""
    cause = course.gate.terms.semantics
    if cause is None:
        return False
    course.trail.degrade(cause.reason, cause.subject)
    course.steps.append(Step(stage, trail_pb.DECISION_STAGE_OUTCOME_FAILED))
    return True


def _consider(course: DecisionCourse) -> None:
    """Find the policy's collections that exist and may be read through this router, and the names of the others."""
    gate, policy = course.gate, course.policy
    found = [
        entry
        for entry in gate.snapshot.collections_of(gate.tenant.tenant_id)
        if entry.collection_id in policy.collections
    ]
    course.entries = {entry.collection_id: entry for entry in found if gates.readable(gate, entry)}
    course.unread = tuple(entry.collection_id for entry in found if entry.collection_id not in course.entries)


def _existing(gate: Gate, result: StageResult) -> StageResult:
    """Pass over collections that were deleted since the policy was written.

    Confidences are probabilities of collections that exclude each other, so that those of the others become
    p / (1 - the sum of what is passed over).
    """
    tenant_id, snapshot = gate.tenant.tenant_id, gate.snapshot
    gone = [one for one in result.candidates if snapshot.collection(tenant_id, one.name) is None]
    if not gone:
        return result
    left = max(1e-9, 1.0 - sum(one.confidence for one in gone))
    kept = tuple(  # rounded, so that 0.8 is 0.8 again and reaches a threshold of 0.8
        replace(one, confidence=min(1.0, round(one.confidence / left, 12)))
        for one in result.candidates
        if one not in gone
    )
    return StageResult(kept, result.in_scope, result.excluded)


def _decided_by_semantics(course: DecisionCourse) -> None:
    last = course.steps[-1]
    course.steps[-1] = Step(last.stage, _DECIDED, last.confidence, last.elapsed_s, last.cost_units)
