"""Writes: to every region of the collection's write set, acknowledged only when all of them have it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, RegionEntry
from trunkline_map.source import MapSource
from trunkline_mesh.breaker_policy import REGION_POLICY, BreakerPolicy
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    BackendUnavailable,
    CollectionUnknown,
    DomainError,
    ResidencyViolation,
    SpaceUnknown,
    StageDisabled,
    StorageFull,
    WriteIncomplete,
)
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import content_digest
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.evidence import guarded
from trunkline_routing.edge.in_flight import InFlight
from trunkline_routing.edge.model import Choice, Gate
from trunkline_routing.edge.ports import Retrieval
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.trail import TrailRecorder, add_attempt
from trunkline_routing.settings import RoutingSettings

WriteOne = Callable[[RegionEntry, Deadline], Awaitable[None]]

WRITE_POLICY: Final[BreakerPolicy] = replace(REGION_POLICY, slow_call_s=10.0)
"""A region's rules, but a durable write of 64 documents may take longer than a search."""


def never_out(_region_id: str) -> bool:
    """Know of no region that is out."""
    return False


@dataclass(frozen=True, slots=True)
class Written:
    """A write that every region has."""

    regions: Sequence[tuple[str, float]]
    """Region and the seconds that it took."""
    trail: trail_pb.Trail


class Write:
    """Upserts and deletes."""

    def __init__(
        self,
        source: MapSource,
        embedding: Embedding,
        retrieval: Retrieval,
        terms_of: gates.TermsOf,
        in_flight: InFlight,
        spending: Spending,
        breakers: BreakerRegistry,
        settings: RoutingSettings,
        is_out: Callable[[str], bool] = never_out,
    ) -> None:
        """Compose from parts. `is_out` says of a region that it does not serve, by its own health."""
        self._is_out = is_out
        self._breakers = breakers
        self._source = source
        self._embedding = embedding
        self._retrieval = retrieval
        self._terms_of = terms_of
        self._in_flight = in_flight
        self._spending = spending
        self._settings = settings

    async def upsert(
        self,
        tenant_id: str,
        collection: str,
        documents: Sequence[document_pb.Document],
        map_token: bytes,
        scope: RequestScope,
    ) -> Written:
        """Embed documents once and write them to every region. Raises WriteIncomplete unless all have them."""
        gate, entry = await self._enter(tenant_id, collection, map_token, scope, embeds=True)
        space = gate.snapshot.space(entry.space_id)
        if space is None:
            raise SpaceUnknown(metadata={"space": entry.space_id})
        texts = [document.text for document in documents]

        async def write(region: RegionEntry, share: Deadline) -> None:
            await self._retrieval.upsert(
                region,
                tenant_id,
                collection,
                space.space_id,
                documents,
                vectors,
                map_token=gates.token_for(gate, region, (entry,)),
                deadline=share,
            )

        digest = partial(content_digest.of_upsert, scope.request_id, collection, documents)
        async with self._charged(gate, entry, len(documents), scope, digest) as trail:
            budget = scope.deadline.within(scope.deadline.remaining_s() / 2)
            walls = gates.wall(gate, (entry,))
            with trail.stage(trail_pb.STAGE_NAME_EMBEDDING, budget):
                vectors = await self._embedding.embed(
                    gate, space, texts, wall=walls, deadline=budget, passages=True, trail=trail
                )
            return await self._everywhere(gate, entry, "Upsert", write, trail, scope.deadline)

    async def delete(
        self, tenant_id: str, collection: str, document_ids: Sequence[str], map_token: bytes, scope: RequestScope
    ) -> Written:
        """Delete documents in every region. Raises WriteIncomplete unless all did."""
        gate, entry = await self._enter(tenant_id, collection, map_token, scope, embeds=False)

        async def write(region: RegionEntry, share: Deadline) -> None:
            await self._retrieval.delete(
                region,
                tenant_id,
                collection,
                document_ids,
                map_token=gates.token_for(gate, region, (entry,)),
                deadline=share,
            )

        digest = partial(content_digest.of_delete, scope.request_id, collection, document_ids)
        async with self._charged(gate, entry, len(document_ids), scope, digest) as trail:
            return await self._everywhere(gate, entry, "Delete", write, trail, scope.deadline)

    async def _enter(
        self, tenant_id: str, collection: str, map_token: bytes, scope: RequestScope, *, embeds: bool
    ) -> tuple[Gate, CollectionEntry]:
        gate = await gates.enter(
            self._source,
            tenant_id=tenant_id,
            region_id=self._settings.region,
            map_token=map_token,
            deadline=scope.deadline,
            terms_of=self._terms_of,
        )
        gate.terms.require_write(embeds=embeds)
        entry = gate.snapshot.collection(tenant_id, collection)
        if entry is None:
            raise CollectionUnknown(metadata={"collection": collection})
        if not gates.readable(gate, entry):
            gates.refuse_unreadable(gate, (Choice(entry, 1.0),))
        _check_placement(gate, entry)
        return gate, entry

    @asynccontextmanager
    async def _charged(
        self, gate: Gate, entry: CollectionEntry, documents: int, scope: RequestScope, digest: Callable[[], str]
    ) -> AsyncIterator[TrailRecorder]:
        """Spend what a write costs; all of it goes back if in the end no region has it."""
        trail = TrailRecorder(scope, self._settings.region)
        trail.map(gate, self._source.age_s(), aged_after_s=self._settings.map_aged_after_s)
        use = self._spending.tariff.of_write(entry.collection_id, documents)
        with self._in_flight.held(gate, scope):
            async with self._spending.of_write(gate, scope, use, trail, digest):
                yield trail

    async def _everywhere(
        self,
        gate: Gate,
        entry: CollectionEntry,
        method: str,
        write: WriteOne,
        trail: TrailRecorder,
        deadline: Deadline,
    ) -> Written:
        """Write to all regions at once; each error is kept, so that one region's does not cancel the others."""
        account = trail.collection(Choice(entry, 1.0))
        share = deadline.within(deadline.remaining_s(), reserve_s=self._settings.hop_reserve_s)
        with trail.stage(trail_pb.STAGE_NAME_WRITE, share):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._one(gate, name, method, write, share)) for name in entry.placement]
        outcomes = [task.result() for task in tasks]
        trail.written = any(error is None for _, error in outcomes)
        failed: list[tuple[str, DomainError]] = []
        for name, (elapsed_s, error) in zip(entry.placement, outcomes, strict=True):
            outcome = trail_pb.ATTEMPT_OUTCOME_FAILED if error else trail_pb.ATTEMPT_OUTCOME_SERVED
            add_attempt(account, name, outcome, error=error, elapsed_s=elapsed_s)
            if error is not None:
                failed.append((name, error))
        if failed:
            raise _incomplete(entry, failed)
        regions = [(name, elapsed_s) for name, (elapsed_s, _) in zip(entry.placement, outcomes, strict=True)]
        return Written(regions, trail.finish(explain=False))

    async def _one(
        self, gate: Gate, region_id: str, method: str, write: WriteOne, deadline: Deadline
    ) -> tuple[float, DomainError | None]:
        began_s = time.perf_counter()
        region = gate.snapshot.region(region_id)
        if region is None:
            return 0.0, BackendUnavailable("a region of the placement is not in the map")
        breaker = self._breakers.get("retrieval", region_id, method, WRITE_POLICY)
        error: DomainError | None = None
        try:
            await guarded(breaker, lambda: write(region, deadline), is_out=lambda: self._is_out(region_id))
        except DomainError as exc:
            error = exc
        return time.perf_counter() - began_s, error


def _check_placement(gate: Gate, entry: CollectionEntry) -> None:
    """Refuse, before anything is written, a placement that reaches outside the wall, which control does not allow, or
    where writes are switched off: a write that not every region may have cannot be acknowledged.
    """
    walls = gates.wall(gate, (entry,))
    for name in entry.placement:
        region = gate.snapshot.region(name)
        if region is None:
            continue
        if not gates.inside(region, walls):
            raise ResidencyViolation(metadata={"collection": entry.collection_id, "region": name})
        if trail_pb.STAGE_NAME_WRITE in region.disabled_stages:
            raise StageDisabled(metadata={"stage": "write", "region": name})


def _incomplete(entry: CollectionEntry, failed: Sequence[tuple[str, DomainError]]) -> DomainError:
    """A caller's fault stays what it is; a full store says so; anything else asks for a repeat with the same id."""
    first = failed[0][1]
    everywhere = len(failed) == len(entry.placement)
    if everywhere and (not first.retryable or isinstance(first, StorageFull)):
        return first
    return WriteIncomplete(
        retry_delay_s=1.0,
        metadata={"collection": entry.collection_id, "failedRegions": ",".join(name for name, _ in failed)},
    )
