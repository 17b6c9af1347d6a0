"""Search: admission, decision, retrieval in parallel, merge, rerank within the time that is left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_lease.spent import TokenSource
from trunkline_map.entries import RegionEntry
from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, SpaceUnknown
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import candidates
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.decide import Decider
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.merge import merge
from trunkline_routing.edge.model import Answer, Choice, Decision, Gate, Hit, Query, Vector
from trunkline_routing.edge.ports import Quota, Retrieval
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.reranking import Reranking
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class SearchParts:
    """What a search is made of."""

    source: MapSource
    decider: Decider
    vectors: QueryVectors
    retrieval: Retrieval
    failover: Failover
    reranking: Reranking
    quota: Quota
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

        Raises the first failure; tokens of work that was not done go back.
        """
        parts, settings = self._parts, self._parts.settings
        deadline = scope.deadline
        gate = await gates.enter(
            parts.source, tenant_id=tenant_id, region_id=settings.region, map_token=map_token, deadline=deadline
        )
        reserved = [self._tokens(query) for query in queries]
        began_s = time.perf_counter()
        spent = await parts.quota.spend(tenant_id, sum(reserved), deadline)
        spend_s = time.perf_counter() - began_s
        trails = [TrailRecorder(scope, settings.region) for _ in queries]
        done: list[Answer] = []
        try:
            for trail in trails:
                trail.map(gate, parts.source.age_s(), aged_after_s=settings.map_aged_after_s)
                trail.admission(scope.queue_wait_s, spend_s, settings.admission_budget_s)
                if spent.source is TokenSource.LOCAL:
                    trail.degrade(trail_pb.DEGRADATION_REASON_QUOTA_LOCAL)
            done = await self._all(gate, queries, trails, reserved, deadline)
        finally:
            charged = sum(answer.trail.cost.charged_tokens for answer in done)
            if charged < sum(reserved):
                parts.quota.refund(tenant_id, sum(reserved) - charged)
        return done

    async def _all(
        self,
        gate: Gate,
        queries: Sequence[Query],
        trails: Sequence[TrailRecorder],
        reserved: Sequence[int],
        deadline: Deadline,
    ) -> list[Answer]:
        if len(queries) == 1:
            return [await self._one(gate, queries[0], trails[0], reserved[0], deadline)]
        await self._embed_batch(gate, queries, trails[0], deadline)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._one(gate, query, trail, tokens, deadline))
                for query, trail, tokens in zip(queries, trails, reserved, strict=True)
            ]
        return [task.result() for task in tasks]

    async def _embed_batch(
        self, gate: Gate, queries: Sequence[Query], trail: TrailRecorder, deadline: Deadline
    ) -> None:
        """Embed all texts of a batch at once, in each space of the readable collections; failures show later."""
        texts = list(dict.fromkeys(query.text for query in queries if query.text))
        entries = [one for one in gate.snapshot.collections_of(gate.tenant.tenant_id) if gates.readable(gate, one)]
        budget = self._parts.budgets.embedding(deadline)
        for space_id in sorted({entry.space_id for entry in entries})[:4]:
            space = gate.snapshot.space(space_id)
            if space is None or not texts:
                continue
            walls = gates.wall(gate, (entry for entry in entries if entry.space_id == space_id))
            try:
                await self._parts.vectors.of(gate, space, texts, wall=walls, deadline=budget, trail=trail)
            except DomainError:
                return  # each query meets the failure itself, and its trail tells

    async def _one(self, gate: Gate, query: Query, trail: TrailRecorder, reserved: int, deadline: Deadline) -> Answer:
        parts, settings = self._parts, self._parts.settings
        budget = parts.budgets.embedding(deadline)
        with trail.stage(trail_pb.STAGE_NAME_DECISION, budget):
            decision = await parts.decider.decide(gate, query, deadline=budget, trail=trail)
        trail.decision(decision, explain=query.explain)
        vectors = dict(query.vectors) or await self._query_vectors(gate, query, decision, trail, deadline)
        will_rerank = query.rerank and bool(query.text) and bool(decision.choices)
        hits = await self._retrieve(gate, query, decision, vectors, trail, deadline, will_rerank=will_rerank)
        reranked = False
        if will_rerank:
            hits, reranked = await parts.reranking.run(gate, query, decision, hits, trail, deadline)
        charged = settings.search_tokens
        charged += settings.embedding_tokens if trail.embedded else 0
        charged += settings.rerank_tokens if reranked else 0
        trail.cost(reserved, min(charged, reserved))
        return Answer(hits[: query.top_k], trail.finish(explain=query.explain))

    def _tokens(self, query: Query) -> int:
        settings = self._parts.settings
        tokens = settings.search_tokens
        tokens += settings.embedding_tokens if query.text else 0
        tokens += settings.rerank_tokens if query.rerank and query.text else 0
        return tokens

    async def _query_vectors(
        self, gate: Gate, query: Query, decision: Decision, trail: TrailRecorder, deadline: Deadline
    ) -> dict[str, Vector]:
        """Return the query's vector in each space of the decision; none, and say so, where embedding failed."""
        vectors: dict[str, Vector] = {}
        for space_id in dict.fromkeys(choice.entry.space_id for choice in decision.choices):
            entries = [choice.entry for choice in decision.choices if choice.entry.space_id == space_id]
            try:
                space = gate.snapshot.space(space_id)
                if space is None:
                    raise SpaceUnknown
                [vectors[space_id]] = await self._parts.vectors.of(
                    gate,
                    space,
                    [query.text],
                    wall=gates.wall(gate, entries),
                    deadline=self._parts.budgets.embedding(deadline),
                    trail=trail,
                )
            except DomainError:
                if query.min_score is not None:
                    raise  # a bound on similarity cannot be kept without a vector
                trail.degrade(trail_pb.DEGRADATION_REASON_SPARSE_ONLY, space_id)
        return vectors

    async def _retrieve(
        self,
        gate: Gate,
        query: Query,
        decision: Decision,
        vectors: dict[str, Vector],
        trail: TrailRecorder,
        deadline: Deadline,
        *,
        will_rerank: bool,
    ) -> list[Hit]:
        limit = max(query.top_k, query.rerank_depth) if will_rerank else query.top_k
        budget = self._parts.budgets.retrieval(deadline, rerank=will_rerank)
        accounts = [(choice, trail.collection(choice)) for choice in decision.choices]
        with trail.stage(trail_pb.STAGE_NAME_RETRIEVAL, budget):
            if len(accounts) == 1:
                results = [await self._collection(gate, query, *accounts[0], vectors, limit, trail, budget)]
            else:
                async with asyncio.TaskGroup() as group:
                    tasks = [
                        group.create_task(self._collection(gate, query, choice, account, vectors, limit, trail, budget))
                        for choice, account in accounts
                    ]
                results = [task.result() for task in tasks]
        return merge(results, limit)

    async def _collection(
        self,
        gate: Gate,
        query: Query,
        choice: Choice,
        account: trail_pb.CollectionTrail,
        vectors: dict[str, Vector],
        limit: int,
        trail: TrailRecorder,
        deadline: Deadline,
    ) -> tuple[float, Sequence[Hit]]:
        """Search one collection with failover; nothing, and say so, where it fails and the caller allows that."""
        entry = choice.entry
        own = {entry.space_id: vectors[entry.space_id]} if entry.space_id in vectors else {}

        async def attempt(region: RegionEntry, share: Deadline) -> Sequence[Hit]:
            return await self._parts.retrieval.search(
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
            region, hits = await self._parts.failover.first(
                listed, attempt, deadline=deadline, subject=entry.collection_id, trail=account
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
