"""Retrieval of one query: its vectors, all collections with failover and one call for each region, and the merge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, SpaceMismatch, SpaceUnknown, invalid_field
from trunkline_routing.edge import candidates
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.asking import Asking, Results
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.course import Course
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.merge import merge
from trunkline_routing.edge.model import Choice, Decision, Gate, Hit, Query, Vector
from trunkline_routing.edge.ports import Retrieval
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.together import together
from trunkline_routing.edge.trail import TrailRecorder

MAX_SPACES: Final = 4
"""Embedding spaces of one query; collections of further ones are searched by keywords alone."""


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
        trail.places = tuple(choice.entry.collection_id for choice in decision.choices)
        vectors = query.vectors or await self._query_vectors(gate, query, decision, trail, deadline)
        limit = _limit(gate, query, len(decision.choices), trail, rerank=rerank)
        budget = self._budgets.retrieval(deadline, rerank=rerank)
        with trail.stage(trail_pb.STAGE_NAME_RETRIEVAL, budget):
            results = await self._search(gate, query, decision, vectors, limit, trail, budget, deadline)
        if len(results) < 2:
            return merge(results, limit)
        with trail.stage(trail_pb.STAGE_NAME_MERGE, budget):
            return merge(results, max(limit, query.top_k))

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
        embedded = await together(
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

    async def _search(
        self,
        gate: Gate,
        query: Query,
        decision: Decision,
        vectors: Mapping[str, Vector],
        limit: int,
        trail: TrailRecorder,
        budget: Deadline,
        deadline: Deadline,
    ) -> list[tuple[float, Sequence[Hit]]]:
        """Search all collections, those of one region in one call; say so where one is missing, if that is allowed."""
        courses = courses_of(gate, query, decision, trail, self._failover, vectors)
        entry_of = {choice.entry.collection_id: choice.entry for choice in decision.choices}
        asking = Asking(self._retrieval, gate, query, vectors, limit)

        async def attempt(region: RegionEntry, asked: Sequence[Course[Sequence[Hit]]], share: Deadline) -> Results:
            return await asking.ask(region, [entry_of[course.subject["collection"]] for course in asked], share)

        hop = self._budgets.hop(deadline)
        await self._failover.serve(courses, attempt, deadline=hop, budget=budget, partial=query.allow_partial)
        return [_outcome(choice, course, trail) for choice, course in zip(decision.choices, courses, strict=True)]


def _limit(gate: Gate, query: Query, collections: int, trail: TrailRecorder, *, rerank: bool) -> int:
    """Return how many hits each collection is asked for.

    Where a level wants smaller sets, that is what the answer holds, without more for reranking; and of several
    collections each is asked for a part of it, but for so much that all of them together can still fill the answer.
    """
    usual = max(query.top_k, query.rerank_depth) if rerank else query.top_k
    part = gate.terms.candidates_part
    if part >= 1.0 or not collections:
        return usual
    limit = max(math.ceil(query.top_k * part), math.ceil(query.top_k / collections))
    if limit < usual:
        trail.degrade(trail_pb.DEGRADATION_REASON_LEVEL, "candidates")
    return limit


def _check_own_vector(gate: Gate, query: Query, decision: Decision) -> None:
    """Vectors of one space never meet points of another, even when the dimensions agree."""
    for choice in decision.choices:
        entry = choice.entry
        space = gate.snapshot.space(entry.space_id)
        vector = query.vectors.get(entry.space_id)
        if space is None or vector is None or len(vector) != space.dimension:
            raise SpaceMismatch(metadata={"collection": entry.collection_id, "space": entry.space_id})


def courses_of(
    gate: Gate,
    query: Query,
    decision: Decision,
    trail: TrailRecorder,
    failover: Failover,
    vectors: Mapping[str, Vector],
) -> list[Course[Sequence[Hit]]]:
    """Return the way of each collection through its candidates, and begin its account.

    Collections with a vector and those without do not share a call: a region searches all of a call in the same way.
    """
    lot = failover.lot(gate.tenant.tenant_id)
    return [
        Course(
            candidates.for_collection(gate, choice.entry, query.consistency, failover.tier),
            subject={"collection": choice.entry.collection_id},
            lot=lot,
            account=trail.collection(choice),
            explain=query.explain,
            key=choice.entry.space_id in vectors,
        )
        for choice in decision.choices
    ]


def _outcome(choice: Choice, course: Course[Sequence[Hit]], trail: TrailRecorder) -> tuple[float, Sequence[Hit]]:
    """Finish a collection's account: who served it, or that nobody did."""
    name, account = choice.entry.collection_id, course.account
    if course.region is None or course.result is None or account is None:
        trail.degrade(trail_pb.DEGRADATION_REASON_COLLECTION_MISSING, name)
        return choice.confidence, ()
    account.served_region = course.region.region_id
    account.hit_count = len(course.result)
    if course.region.region_id != course.listed[0].region_id:
        trail.degrade(trail_pb.DEGRADATION_REASON_SERVED_FROM_OTHER_REGION, name)
    return choice.confidence, course.result
