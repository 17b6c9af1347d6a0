"""Reorders the best candidates in the time that is left, or says why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded, DomainError
from trunkline_routing.edge import candidates
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.model import Decision, Gate, Hit, Query
from trunkline_routing.edge.ports import Rerank, Scored
from trunkline_routing.edge.trail import TrailRecorder

STAGE: Final = "rerank"
"""How degradations and refusals name this stage."""
MAX_REGIONS: Final = 2
"""Reranking is worth a second try, not a third: the answer is good without it."""


class Reranking:
    """The last stage of a search."""

    def __init__(self, rerank: Rerank, failover: Failover, budgets: StageBudgets, *, min_s: float) -> None:
        """With less than `min_s` seconds left the stage is left out."""
        self._rerank = rerank
        self._failover = failover
        self._budgets = budgets
        self._min_s = min_s

    async def run(
        self, gate: Gate, query: Query, decision: Decision, hits: list[Hit], trail: TrailRecorder, deadline: Deadline
    ) -> list[Hit]:
        """Return the hits in their new order. Never fails: it degrades."""
        if not hits:
            return hits
        cause = gate.terms.rerank
        if cause is not None:
            trail.skipped(trail_pb.STAGE_NAME_RERANK)
            trail.degrade(cause.reason, cause.subject)
            return hits
        budget = self._budgets.rerank(deadline)
        if budget.remaining_s() < self._min_s:
            trail.skipped(trail_pb.STAGE_NAME_RERANK)
            trail.degrade(trail_pb.DEGRADATION_REASON_RERANK_SKIPPED_DEADLINE)
            return hits
        depth = min(query.rerank_depth, len(hits))
        wall = gates.wall(gate, (choice.entry for choice in decision.choices))
        passages = [hit.document.text for hit in hits[:depth]]

        async def attempt(region: RegionEntry, share: Deadline) -> Sequence[Scored]:
            return await self._rerank.rerank(region, query.text, passages, top_n=depth, deadline=share)

        with trail.stage(trail_pb.STAGE_NAME_RERANK, budget) as stage:
            try:
                region, order = await self._failover.first(
                    candidates.within(gate, wall, self._failover.tier, stage=trail_pb.STAGE_NAME_RERANK),
                    attempt,
                    deadline=budget,
                    subject={"stage": STAGE},
                    tenant_id=gate.tenant.tenant_id,
                    attempts=MAX_REGIONS,
                )
            except DomainError as error:
                stage.skipped = True
                late = isinstance(error, DeadlineExceeded)
                trail.degrade(
                    trail_pb.DEGRADATION_REASON_RERANK_SKIPPED_DEADLINE
                    if late
                    else trail_pb.DEGRADATION_REASON_RERANK_SKIPPED_UNAVAILABLE
                )
                return hits
        if region.region_id != gate.region.region_id:
            trail.degrade(trail_pb.DEGRADATION_REASON_SERVED_FROM_OTHER_REGION, STAGE)
        if not all(one.scored for one in order):
            trail.degrade(trail_pb.DEGRADATION_REASON_RERANK_PARTIAL)
        trail.reranked = any(one.scored for one in order)
        return [*_reordered(hits, order), *hits[depth:]]


def _reordered(hits: Sequence[Hit], order: Sequence[Scored]) -> list[Hit]:
    return [
        replace(hits[one.index], score=one.score, score_kind=options_pb.SCORE_KIND_RERANK)
        if one.scored
        else hits[one.index]
        for one in order
    ]
