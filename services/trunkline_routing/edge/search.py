"""Search: admission, decision, retrieval, rerank within the time that is left, and the bill."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.source import MapSource
from trunkline_mesh.errors import NoCollectionMatches
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.batch import embed_batch
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.decide import Decider
from trunkline_routing.edge.in_flight import InFlight
from trunkline_routing.edge.model import Answer, Gate, Hit, Query
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.reranking import Reranking
from trunkline_routing.edge.retrieving import Retrieving
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.settings import RoutingSettings

MAX_RESPONSE_BYTES: Final = (4 << 20) - (256 << 10)
"""Documents in one response. gRPC clients accept 4 MiB unless they are told otherwise; the rest is for the trails."""


@dataclass(frozen=True, slots=True)
class SearchParts:
    """What a search is made of."""

    source: MapSource
    decider: Decider
    vectors: QueryVectors
    retrieving: Retrieving
    reranking: Reranking
    terms_of: gates.TermsOf
    in_flight: InFlight
    spending: Spending
    budgets: StageBudgets
    settings: RoutingSettings


class Search:
    """Answers one or several queries of a tenant."""

    def __init__(self, parts: SearchParts) -> None:
        """Compose from parts."""
        self._parts = parts

    async def run(
        self, tenant_id: str, queries: Sequence[Query], map_token: bytes, scope: RequestScope
    ) -> list[Answer]:
        """Return one answer for each query, all under one permit and one embedding batch.

        Raises the first failure. Quota of work that was not done goes back, also then; what was done is charged.
        """
        parts, settings = self._parts, self._parts.settings
        gate = await gates.enter(
            parts.source,
            tenant_id=tenant_id,
            region_id=settings.region,
            map_token=map_token,
            deadline=scope.deadline,
            terms_of=parts.terms_of,
        )
        gate.terms.require_search()
        trails = [TrailRecorder(scope, settings.region) for _ in queries]
        for trail in trails:
            trail.map(gate, parts.source.age_s(), aged_after_s=settings.map_aged_after_s)
        with parts.in_flight.held(gate, scope):
            async with parts.spending.of_search(gate, scope, queries, trails):
                if len(queries) == 1:
                    return [await self._one(gate, queries[0], trails[0], scope, MAX_RESPONSE_BYTES)]
                return await self._several(gate, queries, trails, scope)

    async def _several(
        self, gate: Gate, queries: Sequence[Query], trails: Sequence[TrailRecorder], scope: RequestScope
    ) -> list[Answer]:
        parts = self._parts
        await embed_batch(
            gate,
            queries,
            trails,
            parts.vectors,
            scratch=TrailRecorder(scope, parts.settings.region),
            budget=parts.budgets.embedding(scope.deadline),
        )
        share_bytes = MAX_RESPONSE_BYTES // len(queries)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._one(gate, query, trail, scope, share_bytes))
                for query, trail in zip(queries, trails, strict=True)
            ]
        return [task.result() for task in tasks]

    async def _one(
        self, gate: Gate, query: Query, trail: TrailRecorder, scope: RequestScope, limit_bytes: int
    ) -> Answer:
        parts, deadline = self._parts, scope.deadline
        budget = parts.budgets.embedding(deadline)
        with trail.stage(trail_pb.STAGE_NAME_DECISION, budget):
            decision = await parts.decider.decide(gate, query, deadline=budget, trail=trail, principal=scope.principal)
        if decision.refused:
            raise NoCollectionMatches
        decision_id = parts.decider.sealed(gate, query, decision)
        trail.decision(decision, explain=query.explain, decision_id=decision_id)
        rerank = query.rerank and bool(query.text) and bool(decision.choices)
        more = rerank and gate.terms.rerank is None  # else nobody looks at more than the answer holds
        hits = await parts.retrieving.run(gate, query, decision, trail, deadline, rerank=more)
        if rerank:
            hits = await parts.reranking.run(gate, query, decision, hits, trail, deadline)
        hits = _fitting(hits[: query.top_k], limit_bytes, trail)
        return Answer(hits, trail.finish(explain=query.explain), decision)


def _fitting(hits: list[Hit], limit_bytes: int, trail: TrailRecorder) -> list[Hit]:
    """Cut the answer to what a response can carry, and say so."""
    for count, hit in enumerate(hits):
        limit_bytes -= hit.document.ByteSize()
        if limit_bytes < 0:
            trail.degrade(trail_pb.DEGRADATION_REASON_RESPONSE_TRUNCATED)
            return hits[:count]
    return hits
