"""Retrieval of one query: its vectors, all collections in parallel, each with failover, and the merge."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, SpaceMismatch, SpaceUnknown, invalid_field
from trunkline_routing.edge import candidates
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.merge import merge
from trunkline_routing.edge.model import Choice, Decision, Gate, Hit, Query, Vector
from trunkline_routing.edge.ports import Retrieval
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.trail import TrailRecorder

MAX_SPACES: Final = 4
"""Embedding spaces of one query; collections of further ones are searched by keywords alone."""

T = TypeVar("T")


class Retrieving:
    """Finds one query's hits in the collections of its decision."""

    def __init__(self, vectors: QueryVectors, retrieval: Retrieval, failover: Failover, budgets: StageBudgets) -> None:
        """Compose from parts."""
        self._vectors = vectors
        self._retrieval = retrieval
        self._failover = failover
        self._budgets = budgets

    async def run(
        self, gate: Gate, query: Query, decision: Decision, trail: TrailRecorder, deadline: Deadline, *, rerank: bool
    ) -> list[Hit]:
        """Return the merged hits, as many as reranking or the caller wants.

        Raises SpaceMismatch for a caller's vector that is not of every collection's space, and the first failure of a
        collection unless the caller allows partial answers.
        """
        if query.vectors:
            _check_own_vector(gate, query, decision)
        trail.searched = True
        vectors = query.vectors or await self._query_vectors(gate, query, decision, trail, deadline)
        limit = max(query.top_k, query.rerank_depth) if rerank else query.top_k
        budget = self._budgets.retrieval(deadline, rerank=rerank)
        accounts = [trail.collection(choice) for choice in decision.choices]
        with trail.stage(trail_pb.STAGE_NAME_RETRIEVAL, budget):
            results = await _together(
                [
                    self._collection(gate, query, choice, account, vectors, limit, trail, budget, deadline)
                    for choice, account in zip(decision.choices, accounts, strict=True)
                ]
            )
        if len(results) < 2:
            return merge(results, limit)
        with trail.stage(trail_pb.STAGE_NAME_MERGE, budget):
            return merge(results, limit)

    async def _query_vectors(
        self, gate: Gate, query: Query, decision: Decision, trail: TrailRecorder, deadline: Deadline
    ) -> Mapping[str, Vector]:
        """Return the query's vector in each space of the decision; none, and say so, where embedding failed."""
        spaces = list(dict.fromkeys(choice.entry.space_id for choice in decision.choices))
        if len(spaces) > MAX_SPACES:
            if query.min_score is not None:
                raise invalid_field("collections", f"must be of at most {MAX_SPACES} spaces where min_score is given")
            for space_id in spaces[MAX_SPACES:]:
                trail.degrade(trail_pb.DEGRADATION_REASON_SPARSE_ONLY, space_id)
        budget = self._budgets.embedding(deadline)
        embedded = await _together(
            [self._embedded(gate, query, decision, space_id, trail, budget) for space_id in spaces[:MAX_SPACES]]
        )
        return {space_id: vector for space_id, vector in embedded if vector is not None}

    async def _embedded(
        self, gate: Gate, query: Query, decision: Decision, space_id: str, trail: TrailRecorder, budget: Deadline
    ) -> tuple[str, Vector | None]:
        entries = [choice.entry for choice in decision.choices if choice.entry.space_id == space_id]
        try:
            space = gate.snapshot.space(space_id)
            if space is None:
                raise SpaceUnknown(metadata={"space": space_id})
            [vector] = await self._vectors.of(
                gate, space, [query.text], wall=gates.wall(gate, entries), deadline=budget, trail=trail
            )
        except DomainError:
            if query.min_score is not None:
                raise  # a bound on similarity cannot be kept without a vector
            trail.degrade(trail_pb.DEGRADATION_REASON_SPARSE_ONLY, space_id)
            return space_id, None
        return space_id, vector

    async def _collection(
        self,
        gate: Gate,
        query: Query,
        choice: Choice,
        account: trail_pb.CollectionTrail,
        vectors: Mapping[str, Vector],
        limit: int,
        trail: TrailRecorder,
        budget: Deadline,
        deadline: Deadline,
    ) -> tuple[float, Sequence[Hit]]:
        """Search one collection with failover; nothing, and say so, where it fails and the caller allows that."""
        entry = choice.entry
        own = {entry.space_id: vectors[entry.space_id]} if entry.space_id in vectors else {}

        async def attempt(region: RegionEntry, share: Deadline) -> Sequence[Hit]:
            return await self._retrieval.search(
                region,
                gate.tenant.tenant_id,
                entry.collection_id,
                query,
                own,
                limit=limit,
                map_token=gate.snapshot.token,
                deadline=share,
            )

        listed = candidates.for_collection(gate, entry, query.consistency)
        try:
            region, hits = await self._failover.first(
                listed,
                attempt,
                deadline=self._budgets.hop(deadline),
                budget=budget,
                subject={"collection": entry.collection_id},
                trail=account,
            )
        except DomainError:
            if not query.allow_partial:
                raise
            trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_MISSING, entry.collection_id)
            return choice.confidence, ()
        account.served_region = region.region_id
        account.hit_count = len(hits)
        if region.region_id != listed[0].region_id:
            trail.degrade(trail_pb.DEGRADATION_REASON_SERVED_FROM_OTHER_REGION, entry.collection_id)
        return choice.confidence, hits


def _check_own_vector(gate: Gate, query: Query, decision: Decision) -> None:
    """Vectors of one space never meet points of another, even when the dimensions agree."""
    for choice in decision.choices:
        entry = choice.entry
        space = gate.snapshot.space(entry.space_id)
        vector = query.vectors.get(entry.space_id)
        if space is None or vector is None or len(vector) != space.dimension:
            raise SpaceMismatch(metadata={"collection": entry.collection_id, "space": entry.space_id})


async def _together(pending: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all at once; the first failure cancels the others. One alone needs no task of its own."""
    if len(pending) == 1:
        return [await pending[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in pending]
    return [task.result() for task in tasks]
