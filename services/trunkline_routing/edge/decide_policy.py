"""Decides by a tenant's policy: remembered decisions, arms of comparisons, and the cascade for everything else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import PolicyPointer, RolloutState
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, DomainError, invalid_field
from trunkline_mesh.request import Principal
from trunkline_policy.experiments import Assigned, arm_of, assignments_of
from trunkline_policy.model import Learning, RoutingPolicy
from trunkline_policy.normal import normalise
from trunkline_policy.results import Caller
from trunkline_routing.edge.decision_cache import Basis, DecisionCache, Key, Made
from trunkline_routing.edge.decision_caller import caller_of
from trunkline_routing.edge.decision_cascade import Cascade
from trunkline_routing.edge.decision_course import DecisionCourse
from trunkline_routing.edge.decision_shadow import Shadows
from trunkline_routing.edge.lanes import Lanes
from trunkline_routing.edge.model import Decision, Gate, Query
from trunkline_routing.edge.policy_book import decides
from trunkline_routing.edge.prepared_policy import Lane
from trunkline_routing.edge.receipts import Receipts
from trunkline_routing.edge.trail import TrailRecorder

_STEPS = metrics.counter(
    "decision_steps", "Steps of decisions that were made, by how they ended.", ("stage", "outcome")
)


class PolicyDecider:
    """Makes the decision of a query by the tenant's policy."""

    def __init__(
        self, lanes: Lanes, cascade: Cascade, cache: DecisionCache, shadows: Shadows, receipts: Receipts
    ) -> None:
        """Compose from parts."""
        self._lanes = lanes
        self._cascade = cascade
        self._cache = cache
        self._shadows = shadows
        self._receipts = receipts

    async def decide(
        self,
        gate: Gate,
        pointer: PolicyPointer,
        query: Query,
        *,
        principal: Principal | None,
        deadline: Deadline,
        trail: TrailRecorder,
    ) -> Decision | None:
        """Return the decision; None if the policy cannot be read, which the trail then tells.

        Raises FieldInvalid where the caller has to name the collections.
        """
        try:
            lane = await self._lanes.live(gate, pointer, deadline)
        except (DomainError, TimeoutError):
            trail.degrade(trail_pb.DEGRADATION_REASON_POLICY_UNAVAILABLE)
            return None
        tenant_id = gate.tenant.tenant_id
        text = normalise(query.text)
        caller = caller_of(query, tenant_id, principal, self._receipts, trail)
        assignments: tuple[Assigned, ...] = ()
        used = lane
        if pointer.rollout is not None and decides(pointer.rollout):
            used, assignments = await self._rolled_out(gate, pointer, lane, text, deadline, trail)
        if used is lane and lane.prepared.policy.experiments:
            subject = principal.subject if principal is not None else ""
            policy = lane.prepared.policy
            assignments += assignments_of(policy, tenant_id=tenant_id, text=text, subject=subject)
        arms = tuple(one.experiment for one in assignments if one.variant and not one.shadow) if assignments else ()
        decision = await self._in_lane(gate, used, arms, query, text, caller, deadline, trail)
        if assignments:
            if not decision.cached:
                self._shadow(gate, pointer, lane, assignments, query, text, caller, decision)
            decision = replace(decision, assignments=assignments)
        # Decisions are remembered by the policy's text, and the same text may be written again under a later version.
        if decision.policy_version != pointer.version:
            decision = replace(decision, policy_version=pointer.version)
        return decision

    async def learning(self, gate: Gate, deadline: Deadline) -> Learning | None:
        """Return how the tenant's live policy learns; None without a policy. Raises domain errors."""
        pointer = gate.snapshot.policy(gate.tenant.tenant_id)
        if pointer is None:
            return None
        try:
            lane = await self._lanes.live(gate, pointer, deadline)
        except TimeoutError as exc:
            raise BackendTimeout("the tenant's policy could not be read in time") from exc
        return lane.prepared.policy.learning

    async def _in_lane(
        self,
        gate: Gate,
        lane: Lane,
        arms: tuple[str, ...],
        query: Query,
        text: str,
        caller: Caller,
        deadline: Deadline,
        trail: TrailRecorder,
    ) -> Decision:
        prepared = lane.prepared
        policy = prepared.varied(arms if not lane.rollout_id else ())
        if policy.strategy == "explicit":
            raise invalid_field("collections", "must be named: the tenant's policy decides nothing")
        collections = gate.snapshot.collections_of(gate.tenant.tenant_id)
        basis = Basis(collections, lane.space(gate, collections))
        key = Key(
            gate.tenant.tenant_id,
            f"{lane.key}?{'&'.join(arms)}" if arms else lane.key,
            text,
            prepared.caller_key(caller) if prepared.looks_at_callers else None,
            gate.terms.trusts_semantics,
        )
        remembered = self._cache.get(key, basis) or self._outlived(gate, key, basis, trail)
        if remembered is not None:
            return remembered
        make = partial(self._make, gate, lane, policy, query, caller, deadline, trail)
        made, joined = await self._cache.make(key, basis, deadline, make)
        if joined:
            for reason, subject in made.degradations:
                trail.degrade(reason, subject)
        return made.decision

    def _outlived(self, gate: Gate, key: Key, basis: Basis, trail: TrailRecorder) -> Decision | None:
        """Return a decision whose time is over, where the tier's level has such used for longer, and tell of it."""
        stretch = gate.terms.cache_stretch
        if stretch <= 1.0:
            return None
        remembered = self._cache.get(key, basis, stretch=stretch)
        if remembered is not None:
            trail.degrade(trail_pb.DEGRADATION_REASON_LEVEL, "cache")
        return remembered

    async def _make(
        self,
        gate: Gate,
        lane: Lane,
        policy: RoutingPolicy,
        query: Query,
        caller: Caller,
        deadline: Deadline,
        trail: TrailRecorder,
    ) -> Made:
        told = len(trail.message.degradations)
        decision = await self._cascade.run(DecisionCourse(gate, lane, policy, query.text, caller, deadline, trail))
        for step in decision.steps:
            _STEPS.labels(_stage(step.stage), _outcome(step.outcome)).inc()
        degradations = tuple((one.reason, one.subject) for one in trail.message.degradations[told:])
        return Made(decision, policy.cache.ttl_s, degradations)

    async def _rolled_out(
        self, gate: Gate, pointer: PolicyPointer, live: Lane, text: str, deadline: Deadline, trail: TrailRecorder
    ) -> tuple[Lane, tuple[Assigned, ...]]:
        """Return the lane that decides, and the query's place in the rollout.

        A canary whose policy cannot be read is no variant: the live policy decides, the trail tells, and the query
        takes no part in the comparison.
        """
        entry = pointer.rollout
        if entry is None:
            return live, ()
        variant = arm_of(entry.rollout_id, f"{gate.tenant.tenant_id}\0{text}", entry.share)
        shadow = entry.state is RolloutState.SHADOW
        place = (Assigned(entry.rollout_id, variant, shadow),)
        if shadow or not variant:
            return live, place
        try:
            return await self._lanes.rollout(gate, pointer, entry, deadline), place
        except (DomainError, TimeoutError):
            trail.degrade(trail_pb.DEGRADATION_REASON_POLICY_UNAVAILABLE, entry.rollout_id)
            return live, ()

    def _shadow(
        self,
        gate: Gate,
        pointer: PolicyPointer,
        live: Lane,
        assignments: Sequence[Assigned],
        query: Query,
        text: str,
        caller: Caller,
        used: Decision,
    ) -> None:
        """Have the shadowed variants decide, once for each decision that is made: remembered ones tell nothing new."""
        entry = pointer.rollout
        for one in assignments:
            if not (one.shadow and one.variant):
                continue
            name = one.experiment

            async def decide(deadline: Deadline, trail: TrailRecorder, name: str = name) -> Decision:
                if entry is not None and entry.rollout_id == name:
                    lane, arms = await self._lanes.rollout(gate, pointer, entry, deadline), ()
                    return await self._in_lane(gate, lane, arms, query, text, caller, deadline, trail)
                return await self._in_lane(gate, live, (name,), query, text, caller, deadline, trail)

            self._shadows.begin(gate, name, used, decide)


def _stage(stage: trail_pb.DecisionStage.ValueType) -> str:
    return trail_pb.DecisionStage.Name(stage).removeprefix("DECISION_STAGE_").lower()


def _outcome(outcome: trail_pb.DecisionStageOutcome.ValueType) -> str:
    return trail_pb.DecisionStageOutcome.Name(outcome).removeprefix("DECISION_STAGE_OUTCOME_").lower()
