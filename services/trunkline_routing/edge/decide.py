"""Chooses the collections: explicit ones, else a remembered decision, rules, semantics, the policy's fallback."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry
from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionUnknown, DomainError, SpaceUnknown, invalid_field
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.bounds import MAX_COLLECTIONS
from trunkline_routing.edge.model import Choice, Decision, Gate, Query
from trunkline_routing.edge.policy_book import PolicyBook, PreparedPolicy
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.semantics import choose
from trunkline_routing.edge.trail import TrailRecorder

FALLBACK_CONFIDENCE: Final = 0.2

Collections: TypeAlias = tuple[CollectionEntry, ...]

_CACHE = metrics.counter("decision_cache", "Look-ups of remembered decisions.", ("outcome",))
_HITS, _MISSES = _CACHE.labels("hit"), _CACHE.labels("miss")


class DecisionCache:
    """Decisions remembered by tenant, policy version and text; bounded, for a stated time.

    A decision holds only for the collections for which it was made: after any change of the tenant's part of the map it
    is made anew, so that nobody who brings a map token is answered from an older map.
    """

    def __init__(self, *, size: int, ttl_s: float, clock: Clock = MONOTONIC) -> None:
        """Keep at most `size` decisions for `ttl_s` each."""
        self._size = size
        self._ttl_s = ttl_s
        self._clock = clock
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, Collections, Decision]] = OrderedDict()

    def get(self, tenant_id: str, digest: str, text: str, collections: Collections) -> Decision | None:
        """Return the decision remembered for these collections, if it is not too old."""
        key = (tenant_id, digest, text)
        kept = self._kept.get(key)
        # A snapshot returns the same tuple until the tenant's part of the map changes, so identity is enough.
        if kept is None or kept[0] < self._clock() or kept[1] is not collections:
            _MISSES.inc()
            return None
        self._kept.move_to_end(key)
        _HITS.inc()
        return kept[2]

    def put(self, tenant_id: str, digest: str, text: str, collections: Collections, decision: Decision) -> None:
        """Remember a decision."""
        key = (tenant_id, digest, text)
        self._kept[key] = (self._clock() + self._ttl_s, collections, replace(decision, cached=True))
        self._kept.move_to_end(key)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)


class Decider:
    """Makes the decision of a query."""

    def __init__(self, policies: PolicyBook, vectors: QueryVectors, cache: DecisionCache) -> None:
        """Decide with policies, embeddings and what was decided before."""
        self._policies = policies
        self._vectors = vectors
        self._cache = cache

    async def decide(self, gate: Gate, query: Query, *, deadline: Deadline, trail: TrailRecorder) -> Decision:
        """Return the query's decision; semantics may take until `deadline`.

        Raises CollectionUnknown, FieldInvalid, and ResidencyRouterOutside where the best one may not be read here.
        """
        decision = await self._decide(gate, query, deadline, trail)
        return _readable_part(gate, query, decision, trail)

    async def _decide(self, gate: Gate, query: Query, deadline: Deadline, trail: TrailRecorder) -> Decision:
        if query.collections:
            return self._explicit(gate, query)
        if query.all_collections:
            return _everything(gate)
        tenant_id = gate.tenant.tenant_id
        pointer = gate.snapshot.policy(tenant_id)
        if pointer is None:
            return _without_policy(gate)
        collections = gate.snapshot.collections_of(tenant_id)
        cached = self._cache.get(tenant_id, pointer.digest, query.text, collections)
        if cached is not None:
            return _of_version(cached, pointer.version)
        try:
            prepared = await self._policies.get(gate, pointer, deadline)
        except (DomainError, TimeoutError):
            trail.degrade(trail_pb.DEGRADATION_REASON_POLICY_UNAVAILABLE)
            return _without_policy(gate)
        decision, whole = await self._by_policy(gate, prepared, query, deadline, trail)
        decision = _of_version(decision, pointer.version)
        if whole:
            self._cache.put(tenant_id, pointer.digest, query.text, collections, decision)
        return decision

    def _explicit(self, gate: Gate, query: Query) -> Decision:
        choices = []
        for name in query.collections:
            entry = gate.snapshot.collection(gate.tenant.tenant_id, name)
            if entry is None:
                raise CollectionUnknown(metadata={"collection": name})
            choices.append(Choice(entry, 1.0))
        return Decision(trail_pb.STRATEGY_EXPLICIT, 1.0, tuple(choices))

    async def _by_policy(
        self, gate: Gate, prepared: PreparedPolicy, query: Query, deadline: Deadline, trail: TrailRecorder
    ) -> tuple[Decision, bool]:
        policy = prepared.policy
        reasons: tuple[str, ...] = ()
        unread: tuple[str, ...] = ()
        if policy.strategy != "semantics":
            matches = prepared.rules.match(query.text)
            choices = _choices(gate, ((match.collection, match.confidence) for match in matches))
            if choices:
                reasons = tuple(match.reason for match in matches)
                return _decision(trail_pb.STRATEGY_RULES, choices, reasons), True
        whole = True
        if policy.strategy != "rules":
            considered, unread = _considered(gate, prepared)
            try:
                choices, reasons = await self._by_semantics(gate, prepared, considered, query, deadline, trail)
            except (DomainError, TimeoutError):
                trail.degrade(trail_pb.DEGRADATION_REASON_DECISION_WITHOUT_SEMANTICS)
                choices, whole = [], False
            if choices:
                return _decision(trail_pb.STRATEGY_SEMANTIC, choices, reasons, unread), True
        choices = _choices(gate, ((name, FALLBACK_CONFIDENCE) for name in policy.fallback))
        strategy = trail_pb.STRATEGY_FALLBACK if choices else trail_pb.STRATEGY_NONE
        return _decision(strategy, choices, reasons, unread), whole

    async def _by_semantics(
        self,
        gate: Gate,
        prepared: PreparedPolicy,
        considered: Sequence[CollectionEntry],
        query: Query,
        deadline: Deadline,
        trail: TrailRecorder,
    ) -> tuple[list[Choice], tuple[str, ...]]:
        if not considered:
            return [], ()
        space = gate.snapshot.space(prepared.policy.space or considered[0].space_id)
        if space is None:
            raise SpaceUnknown
        walls = gates.wall(gate, considered)
        [vector] = await self._vectors.of(gate, space, [query.text], wall=walls, deadline=deadline, trail=trail)
        semantics = await self._policies.semantics(gate, prepared, space, deadline)
        ranked = semantics.rank(vector)
        reasons = tuple(f"{near.collection}: similarity {near.score:.3f}" for near in ranked[:8])
        chosen = ((near.collection, near.score) for near in choose(ranked, prepared.policy))
        return _choices(gate, chosen), reasons


def _considered(gate: Gate, prepared: PreparedPolicy) -> tuple[list[CollectionEntry], tuple[str, ...]]:
    """The policy's collections that exist and may be read through this router, by name, and the names of the others.

    Only the first ones' wall binds the query.
    """
    found = (gate.snapshot.collection(gate.tenant.tenant_id, name) for name in sorted(prepared.policy.collections))
    entries = [entry for entry in found if entry is not None]
    unread = tuple(entry.collection_id for entry in entries if not gates.readable(gate, entry))
    return [entry for entry in entries if gates.readable(gate, entry)], unread


def _choices(gate: Gate, named: Iterable[tuple[str, float]]) -> list[Choice]:
    """Collections that were deleted since the policy was written are passed over."""
    found = ((gate.snapshot.collection(gate.tenant.tenant_id, name), confidence) for name, confidence in named)
    return [Choice(entry, confidence) for entry, confidence in found if entry is not None]


def _decision(
    strategy: trail_pb.Strategy.ValueType,
    choices: Sequence[Choice],
    reasons: tuple[str, ...],
    unread: tuple[str, ...] = (),
) -> Decision:
    confidence = max((choice.confidence for choice in choices), default=0.0)
    return Decision(strategy, confidence, tuple(choices), reasons=reasons, not_considered=unread)


def _of_version(decision: Decision, version: int) -> Decision:
    """Policies are remembered by their text, and the same text may be written again under a later version."""
    return decision if decision.policy_version == version else replace(decision, policy_version=version)


def _without_policy(gate: Gate) -> Decision:
    """The built-in fallback: all collections, as long as one search may hold them."""
    entries = gate.snapshot.collections_of(gate.tenant.tenant_id)
    if len(entries) > MAX_COLLECTIONS:
        raise invalid_field(
            "collections", f"must be named: no policy applies, and there are more than {MAX_COLLECTIONS}"
        )
    choices = tuple(Choice(entry, FALLBACK_CONFIDENCE) for entry in entries)
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
    explicit = decision.strategy in (trail_pb.STRATEGY_EXPLICIT, trail_pb.STRATEGY_ALL)
    if not inside or ((best_is_outside or explicit) and not query.allow_partial):
        gates.refuse_unreadable(gate, decision.choices if explicit else outside)
    for choice in outside:
        trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_OUTSIDE_JURISDICTION, choice.entry.collection_id)
    return replace(decision, choices=inside, confidence=best_inside)
