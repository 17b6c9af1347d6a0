"""Makes what semantics decide by: a trained head read from its blob, else prototypes that are embedded here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_map.blob import BlobMissingError
from trunkline_map.entries import CollectionEntry, HeadPointer, SpaceEntry
from trunkline_mesh import metrics
from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable
from trunkline_mesh.logs import get_logger
from trunkline_policy.basis import BasisText, basis_texts
from trunkline_policy.head import HeadSet
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.prototypes import prototype_heads
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.gate import readable, wall
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_book import BlobReader
from trunkline_routing.edge.prepared_policy import Lane

MAX_TEXTS: Final = 512
"""Texts that a router embeds for one policy; a fair share of each target's where there are more."""
PREPARE_S: Final = 20.0
"""Time that reading a head or embedding texts may take; it goes on when the query that began it gave up."""
RETRY_S: Final = 10.0
"""A head that cannot be read is tried again after so long; prototypes decide until then."""

_LOADS = metrics.counter("decision_heads", "Heads made ready, by where they come from.", ("outcome",))
_TRAINED, _PROTOTYPES, _UNREADABLE = (_LOADS.labels(each) for each in ("trained", "prototypes", "unreadable"))

log = get_logger("heads")


@dataclass(frozen=True, slots=True)
class ReadyHead:
    """A head as it may be used in this router."""

    head: HeadSet
    digest: str
    """The trained head's; empty for prototypes."""
    missing: bool
    """True for prototypes that stand for a trained head which cannot be read."""
    collections: Sequence[CollectionEntry]
    space: SpaceEntry
    promised: HeadPointer | None
    until_s: float = float("inf")
    texts: tuple[BasisText, ...] = ()
    """What prototypes were made of."""
    wall: frozenset[str] = frozenset()

    def holds(self, collections: Sequence[CollectionEntry], space: SpaceEntry, promised: HeadPointer | None) -> bool:
        """Return True if the map still has what it was made for: equal would do, the very same is quick to see."""
        return self.collections is collections and self.space == space and self.promised == promised


class HeadMaker:
    """Reads and embeds; remembers nothing."""

    def __init__(self, blobs: BlobReader, embedding: Embedding, clock: Clock) -> None:
        """Read heads from `blobs`, embed with `embedding`."""
        self._blobs: Final = blobs
        self._embedding: Final = embedding
        self._clock: Final = clock

    async def trained(self, gate: Gate, lane: Lane, space: SpaceEntry, promised: HeadPointer) -> ReadyHead | None:
        """Return the trained head that the map promises; None if it cannot be read or does not fit."""
        head = await self._trained(gate.region.jurisdiction, promised, _here(gate, lane))
        if head is None:
            return None
        collections = gate.snapshot.collections_of(gate.tenant.tenant_id)
        return ReadyHead(head, promised.digest, False, collections, space, promised)

    async def make(
        self, gate: Gate, lane: Lane, space: SpaceEntry, promised: HeadPointer | None, before: ReadyHead | None
    ) -> ReadyHead:
        """Return the trained head, or prototypes: those of `before` where nothing they were made of has changed.

        Raises domain errors where texts cannot be embedded.
        """
        collections = gate.snapshot.collections_of(gate.tenant.tenant_id)
        here = _here(gate, lane)
        if promised is not None:
            found = await self.trained(gate, lane, space, promised)
            if found is not None:
                return found
        until_s = float("inf") if promised is None else self._clock() + RETRY_S
        texts = await asyncio.to_thread(_texts, lane.prepared.policy, here)
        allowed = wall(gate, here)
        same = before is not None and before.texts == texts and before.wall == allowed and before.space == space
        made = before.head if before is not None and same else await self._prototypes(gate, texts, space, allowed)
        return ReadyHead(
            made, "", promised is not None, collections, space, promised, until_s, texts=texts, wall=allowed
        )

    async def _trained(
        self, jurisdiction: str, promised: HeadPointer, here: Sequence[CollectionEntry]
    ) -> HeadSet | None:
        """Return the head without collections that may not be read here; None if it cannot be read or does not fit."""
        names = frozenset(one.collection_id for one in here)
        try:
            async with asyncio.timeout(PREPARE_S):
                content = await self._blobs.get(jurisdiction, promised.digest)
                head = await asyncio.to_thread(_parse, content, promised, names)
        except (BlobMissingError, BackendUnavailable, ValueError, TimeoutError) as exc:
            log.warning("a trained head cannot be read", error_type=type(exc).__name__)
            _UNREADABLE.inc()
            return None
        _TRAINED.inc()
        return head

    async def _prototypes(
        self, gate: Gate, texts: Sequence[BasisText], space: SpaceEntry, allowed: frozenset[str]
    ) -> HeadSet:
        vectors = await self._embedding.embed(
            gate, space, [one.text for one in texts], wall=allowed, deadline=Deadline.after(PREPARE_S)
        )
        _PROTOTYPES.inc()
        return await asyncio.to_thread(_made, texts, vectors, space)


def _here(gate: Gate, lane: Lane) -> list[CollectionEntry]:
    """Return the policy's collections that exist and may be read through this router."""
    named = lane.prepared.policy.collections
    entries = gate.snapshot.collections_of(gate.tenant.tenant_id)
    return [one for one in entries if one.collection_id in named and readable(gate, one)]


def _texts(policy: RoutingPolicy, here: Sequence[CollectionEntry]) -> tuple[BasisText, ...]:
    """Only collections that may be read here are compared: the others' texts do not come here."""
    names = {one.collection_id for one in here}
    kept = {name: one for name, one in policy.collections.items() if name in names}
    descriptions = {one.collection_id: one.description for one in here}
    return basis_texts(policy.model_copy(update={"collections": kept}), descriptions, limit=MAX_TEXTS)


def _parse(content: bytes, promised: HeadPointer, names: frozenset[str]) -> HeadSet:
    head = HeadSet.from_bytes(content)
    told = (head.space_id, head.model_id, head.model_revision)
    if told != (promised.space_id, promised.model_id, promised.model_revision):
        raise ValueError("the head is of another model than the map says")
    return head.restricted(names)


def _made(texts: Sequence[BasisText], vectors: Sequence[Sequence[float]], space: SpaceEntry) -> HeadSet:
    return prototype_heads(
        texts,
        vectors,
        space_id=space.space_id,
        model_id=space.model_id,
        model_revision=space.model_revision,
    )
