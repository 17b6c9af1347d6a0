"""Chooses the collections: explicit ones, else what the tenant's policy decides, else all that there are."""

from __future__ import annotations

import time
from dataclasses import replace

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionUnknown, invalid_field
from trunkline_mesh.request import Principal
from trunkline_policy.cascade import FALLBACK_CONFIDENCE
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.bounds import MAX_COLLECTIONS
from trunkline_routing.edge.decide_policy import PolicyDecider
from trunkline_routing.edge.decision_settled import every_collection
from trunkline_routing.edge.model import Choice, Decision, Gate, Query
from trunkline_routing.edge.receipts import Receipt, Receipts, text_digest
from trunkline_routing.edge.trail import TrailRecorder

_DECISIONS = metrics.counter("decisions", "Decisions, remembered ones too, by what decided.", ("strategy",))
_BY_STRATEGY = {
    value: _DECISIONS.labels(name.removeprefix("STRATEGY_").lower()) for name, value in trail_pb.Strategy.items()
}


class Decider:
    """Makes the decision of a query."""

    def __init__(self, by_policy: PolicyDecider, receipts: Receipts) -> None:
        """Decide by policies; seal the ids of their decisions."""
        self._by_policy = by_policy
        self._receipts = receipts

    async def decide(
        self,
        gate: Gate,
        query: Query,
        *,
        deadline: Deadline,
        trail: TrailRecorder,
        principal: Principal | None = None,
    ) -> Decision:
        """Return the query's decision; semantics may take until `deadline`.

        Raises CollectionUnknown, FieldInvalid, and ResidencyRouterOutside where the best one may not be read here.
        """
        decision = await self._decide(gate, query, principal, deadline, trail)
        _BY_STRATEGY[decision.strategy].inc()
        return _readable_part(gate, query, decision, trail)

    def sealed(self, gate: Gate, query: Query, decision: Decision) -> str:
        """Return the id of a decision, which carries what feedback needs of it; empty where no policy decided."""
        if not decision.policy_digest:
            return ""
        return self._receipts.seal(
            Receipt(
                gate.tenant.tenant_id,
                time.time(),
                decision.policy_version,
                decision.policy_digest,
                decision.strategy,
                tuple(choice.entry.collection_id for choice in decision.choices),
                text_digest(query.text),
                tuple(
                    (one.experiment, "variant" if one.variant else "control", one.shadow)
                    for one in decision.assignments
                ),
            )
        )

    async def _decide(
        self, gate: Gate, query: Query, principal: Principal | None, deadline: Deadline, trail: TrailRecorder
    ) -> Decision:
        if query.collections:
            return _explicit(gate, query)
        if query.all_collections:
            return _everything(gate)
        pointer = gate.snapshot.policy(gate.tenant.tenant_id)
        if pointer is None:
            return _without_policy(gate)
        decision = await self._by_policy.decide(
            gate, pointer, query, principal=principal, deadline=deadline, trail=trail
        )
        return decision or _without_policy(gate)


def _explicit(gate: Gate, query: Query) -> Decision:
    choices = []
    for name in query.collections:
        entry = gate.snapshot.collection(gate.tenant.tenant_id, name)
        if entry is None:
            raise CollectionUnknown(metadata={"collection": name})
        choices.append(Choice(entry, 1.0))
    return Decision(trail_pb.STRATEGY_EXPLICIT, 1.0, tuple(choices))


def _without_policy(gate: Gate) -> Decision:
    """The built-in fallback: all collections, as long as one search may hold them."""
    choices = tuple(Choice(entry, FALLBACK_CONFIDENCE) for entry in every_collection(gate))
    strategy = trail_pb.STRATEGY_FALLBACK if choices else trail_pb.STRATEGY_NONE
    return Decision(strategy, FALLBACK_CONFIDENCE if choices else 0.0, choices)


def _everything(gate: Gate) -> Decision:
    """All of the tenant's collections, which must not be more than one search may hold."""
    entries = gate.snapshot.collections_of(gate.tenant.tenant_id)
    if len(entries) > MAX_COLLECTIONS:
        raise invalid_field(
            "all_collections",
            f"must not be set: there are {len(entries)} collections, and at most {MAX_COLLECTIONS} fit",
        )
    confidence = 1.0 if entries else 0.0
    return Decision(trail_pb.STRATEGY_ALL, confidence, tuple(Choice(entry, 1.0) for entry in entries))


def _readable_part(gate: Gate, query: Query, decision: Decision, trail: TrailRecorder) -> Decision:
    """Leave out collections that may not be read here, and say so; refuse if the best one is among them."""
    for name in decision.not_considered:
        trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_OUTSIDE_JURISDICTION, name)
    outside = [choice for choice in decision.choices if not gates.readable(gate, choice.entry)]
    if not outside:
        return decision
    inside = tuple(choice for choice in decision.choices if gates.readable(gate, choice.entry))
    best_inside = max((choice.confidence for choice in inside), default=0.0)
    best_is_outside = max(choice.confidence for choice in outside) > best_inside
    explicit = bool(query.collections) or query.all_collections
    if not inside or ((best_is_outside or explicit) and not query.allow_partial):
        gates.refuse_unreadable(gate, decision.choices if explicit else outside)
    for choice in outside:
        trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_OUTSIDE_JURISDICTION, choice.entry.collection_id)
    return replace(decision, choices=inside, confidence=best_inside)
