"""Writes: to every region of the collection's write set, acknowledged only when all of them have it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import CollectionEntry, RegionEntry
from trunkline_map.source import MapSource
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CollectionUnknown,
    ResidencyViolation,
    SpaceUnknown,
    StageDisabled,
)
from trunkline_mesh.request import RequestScope
from trunkline_routing.edge import content_digest
from trunkline_routing.edge import gate as gates
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.in_flight import InFlight
from trunkline_routing.edge.model import Choice, Gate
from trunkline_routing.edge.ports import Retrieval
from trunkline_routing.edge.spending import Spending
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.edge.write_everywhere import Everywhere, Written
from trunkline_routing.settings import RoutingSettings


def never_out(_region_id: str) -> bool:
    """Know of no region that is out."""
    return False


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
        self._everywhere = Everywhere(breakers, is_out, hop_reserve_s=settings.hop_reserve_s)
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
            return await self._everywhere.write(gate, entry, "Upsert", write, trail, scope.deadline)

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
            return await self._everywhere.write(gate, entry, "Delete", write, trail, scope.deadline)

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
        """Spend what a write costs; what was neither written nor embedded goes back in the end."""
        trail = TrailRecorder(scope, self._settings.region)
        trail.map(gate, self._source.age_s(), aged_after_s=self._settings.map_aged_after_s)
        with self._in_flight.held(gate, scope):
            async with self._spending.of_write(gate, scope, entry.collection_id, documents, trail, digest):
                yield trail


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
