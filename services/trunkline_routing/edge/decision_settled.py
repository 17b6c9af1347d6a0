"""From what the steps settled to the decision that is searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry
from trunkline_mesh.errors import invalid_field
from trunkline_policy.cascade import FALLBACK_CONFIDENCE, Settled, SettledBy
from trunkline_policy.results import Candidate
from trunkline_routing.edge.bounds import MAX_COLLECTIONS
from trunkline_routing.edge.decision_course import DecisionCourse
from trunkline_routing.edge.model import Choice, Decision, Gate

_STRATEGIES: Final[Mapping[SettledBy, trail_pb.Strategy.ValueType]] = {
    "logical": trail_pb.STRATEGY_RULES,
    "semantic": trail_pb.STRATEGY_SEMANTIC,
    "fallback": trail_pb.STRATEGY_FALLBACK,
    "all": trail_pb.STRATEGY_ALL,
    "none": trail_pb.STRATEGY_NONE,
    "refuse": trail_pb.STRATEGY_NONE,
}


def decision_of(course: DecisionCourse, settled: Settled) -> Decision:
    """Return the decision; every collection where that is what was settled. Raises FieldInvalid if those are too many.

    What semantics could not compare is told only where semantics could have chosen it: not where rules decided.
    """
    gate = course.gate
    everything = settled.strategy == "all" or (settled.strategy == "fallback" and not settled.chosen)
    if everything:
        confidence = 1.0 if settled.strategy == "all" else FALLBACK_CONFIDENCE
        entries = every_collection(gate, settled.excluded)
        choices = tuple(Choice(entry, confidence) for entry in entries)
    else:
        choices = _choices(gate, settled.chosen)
    strategy = _STRATEGIES[settled.strategy] if choices else trail_pb.STRATEGY_NONE
    return _decision(course, strategy, choices, settled.chosen, refused=settled.strategy == "refuse")


def chosen_of(course: DecisionCourse, strategy: trail_pb.Strategy.ValueType, chosen: tuple[Candidate, ...]) -> Decision:
    """Return the decision of somebody outside."""
    return _decision(course, strategy, _choices(course.gate, chosen), chosen, refused=False)


def every_collection(gate: Gate, excluded: frozenset[str] = frozenset()) -> list[CollectionEntry]:
    """Return all of the tenant's collections but the excluded ones; raise FieldInvalid if one search cannot hold them.

    Its message is for callers who named none.
    """
    entries = [
        entry for entry in gate.snapshot.collections_of(gate.tenant.tenant_id) if entry.collection_id not in excluded
    ]
    if len(entries) > MAX_COLLECTIONS:
        raise invalid_field("collections", f"must be named: nothing decides, and there are more than {MAX_COLLECTIONS}")
    return entries


def _decision(
    course: DecisionCourse,
    strategy: trail_pb.Strategy.ValueType,
    choices: tuple[Choice, ...],
    told: Iterable[Candidate],
    *,
    refused: bool,
) -> Decision:
    compared = any(step.stage == trail_pb.DECISION_STAGE_SEMANTIC for step in course.steps)
    outside = strategy in (trail_pb.STRATEGY_CLASSIFIER, trail_pb.STRATEGY_OWN_ROUTER)
    prepared = course.lane.prepared
    stage = prepared.generation
    generation = stage.decide(course.text, course.semantic, course.caller) if stage is not None else None
    template = prepared.policy.templates.get(generation.template or "") if generation is not None else None
    return Decision(
        strategy,
        max((choice.confidence for choice in choices), default=0.0),
        choices,
        policy_version=course.lane.version,
        reasons=tuple(map(_reason, told)),
        not_considered=course.unread if compared or outside else (),
        policy_digest=course.lane.digest,
        steps=tuple(course.steps),
        in_scope=course.in_scope,
        head_digest=course.head_digest,
        refused=refused,
        generation=generation,
        template=template,
    )


def _choices(gate: Gate, chosen: Iterable[Candidate]) -> tuple[Choice, ...]:
    """Collections that were deleted since the policy was written are passed over."""
    found = ((gate.snapshot.collection(gate.tenant.tenant_id, one.name), one.confidence) for one in chosen)
    return tuple(Choice(entry, confidence) for entry, confidence in found if entry is not None)


def _reason(one: Candidate) -> str:
    if one.reason.startswith(f"{one.name}: "):
        return one.reason
    return f"{one.name}: {one.reason}" if one.reason else one.name
