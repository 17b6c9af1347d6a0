"""The two steps that ask somebody outside: the tenant's own routing service, and a language model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CircuitOpen, DomainError
from trunkline_policy.model import OwnRouter, RoutingPolicy
from trunkline_policy.results import Candidate
from trunkline_routing.edge.choosers import Chooser
from trunkline_routing.edge.decision_budget import DecisionBudget
from trunkline_routing.edge.model import Gate, Step
from trunkline_routing.edge.trail import TrailRecorder

MIN_TIME_S = 0.005
"""With less time than this nobody outside is asked."""


@dataclass(frozen=True, slots=True)
class OutsideStep:
    """One of the two, and how it is told of."""

    chooser: Chooser | None
    stage: trail_pb.DecisionStage.ValueType
    strategy: trail_pb.Strategy.ValueType
    unavailable: trail_pb.DegradationReason.ValueType


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of asking."""

    step: Step
    chosen: tuple[Candidate, ...] = ()
    """Empty unless it decided."""


async def ask_outside(
    one: OutsideStep,
    wanted: OwnRouter,
    policy: RoutingPolicy,
    gate: Gate,
    text: str,
    offered: Sequence[tuple[str, str]],
    *,
    budget: DecisionBudget,
    deadline: Deadline,
    trail: TrailRecorder,
) -> Asked:
    """Ask, within the policy's share of the time that is left; whatever fails is told, and the cascade goes on."""
    if one.chooser is None or not one.chooser.serves(gate) or not offered:
        trail.degrade(one.unavailable)
        return Asked(Step(one.stage, trail_pb.DECISION_STAGE_OUTCOME_FAILED))
    share = deadline.within(deadline.remaining_s() * wanted.deadline_share)
    if share.remaining_s() < MIN_TIME_S:
        trail.degrade(one.unavailable)
        return Asked(Step(one.stage, trail_pb.DECISION_STAGE_OUTCOME_SKIPPED_DEADLINE))
    if policy.budget.cost_per_1000 is not None and not budget.spend(gate.tenant.tenant_id, wanted.cost_units):
        trail.degrade(trail_pb.DEGRADATION_REASON_DECISION_BUDGET_SPENT)
        return Asked(Step(one.stage, trail_pb.DECISION_STAGE_OUTCOME_SKIPPED_BUDGET))
    began_s = time.perf_counter()
    try:
        found = await one.chooser.choose(gate, text, offered, limit=policy.max_collections, deadline=share)
    except asyncio.CancelledError:
        trail.asked_outside = True  # who gives up meanwhile has had it asked all the same
        raise
    except CircuitOpen:
        trail.degrade(one.unavailable)
        return Asked(Step(one.stage, trail_pb.DECISION_STAGE_OUTCOME_SKIPPED_BREAKER))
    except (DomainError, TimeoutError):
        trail.degrade(one.unavailable)
        outcome = trail_pb.DECISION_STAGE_OUTCOME_FAILED
        return Asked(Step(one.stage, outcome, 0.0, time.perf_counter() - began_s, wanted.cost_units))
    trail.asked_outside = True
    chosen = _sure(found, wanted, policy)
    outcome = trail_pb.DECISION_STAGE_OUTCOME_DECIDED if chosen else trail_pb.DECISION_STAGE_OUTCOME_UNSURE
    confidence = found[0].confidence if found else 0.0
    return Asked(Step(one.stage, outcome, confidence, time.perf_counter() - began_s, wanted.cost_units), chosen)


def _sure(found: Sequence[Candidate], wanted: OwnRouter, policy: RoutingPolicy) -> tuple[Candidate, ...]:
    """Return the surest one and those within the policy's margin of it; none if it is not sure enough."""
    if not found or found[0].confidence < wanted.min_confidence:
        return ()
    least = found[0].confidence - policy.thresholds.margin
    return tuple(one for one in found[: policy.max_collections] if one.confidence >= least)
