"""Query vectors, remembered by tenant and space, so that deciding and retrieving embed a text once."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import SpaceEntry
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.model import Gate, Vector
from trunkline_routing.edge.trail import TrailRecorder

_Key: TypeAlias = tuple[str, str, str, str, str]

_CACHE = metrics.counter("query_vector_cache", "Look-ups of remembered query vectors.", ("outcome",))
_HITS, _MISSES = _CACHE.labels("hit"), _CACHE.labels("miss")


class QueryVectors:
    """Embeds queries, and remembers the last ones in this router's memory, which lies inside their jurisdictions."""

    def __init__(self, embedding: Embedding, *, capacity: int) -> None:
        """Remember at most `capacity` vectors."""
        self._embedding = embedding
        self._capacity = capacity
        self._kept: OrderedDict[_Key, Vector] = OrderedDict()

    async def of(
        self,
        gate: Gate,
        space: SpaceEntry,
        texts: Sequence[str],
        *,
        wall: frozenset[str],
        deadline: Deadline,
        trail: TrailRecorder,
    ) -> list[Vector]:
        """Return one vector for each text; those that are missing are embedded in one batch.

        Raises domain errors when no region within the wall could embed, and where the request's terms leave that out.
        """
        keys = [_key(gate, space, text) for text in texts]
        # Looked up once: the cache may change while we wait for the rest.
        found = {key: vector for key in keys if (vector := self._kept.get(key)) is not None}
        missing = list(dict.fromkeys(key for key in keys if key not in found))
        _HITS.inc(len(keys) - len(missing))
        if missing:
            _MISSES.inc(len(missing))
            cause = gate.terms.embedding
            if cause is not None:
                trail.degrade(cause.reason, cause.subject)
                raise cause.refusal()
            with trail.stage(trail_pb.STAGE_NAME_EMBEDDING, deadline):
                try:
                    vectors = await self._embedding.embed(
                        gate, space, [key[-1] for key in missing], wall=wall, deadline=deadline, trail=trail
                    )
                except asyncio.CancelledError:
                    trail.embedded = True  # the model was asked: who gives up then pays for it all the same
                    raise
            found.update(zip(missing, vectors, strict=True))
            trail.embedded = True
        self._keep(found)
        return [found[key] for key in keys]

    def missing(self, gate: Gate, space: SpaceEntry, texts: Sequence[str]) -> frozenset[str]:
        """Return the texts whose vectors are not remembered."""
        return frozenset(text for text in texts if _key(gate, space, text) not in self._kept)

    def _keep(self, vectors: dict[_Key, Vector]) -> None:
        for key, vector in vectors.items():
            self._kept[key] = vector
            self._kept.move_to_end(key)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)


def _key(gate: Gate, space: SpaceEntry, text: str) -> _Key:
    return gate.tenant.tenant_id, space.space_id, space.model_id, space.model_revision, text
