"""Turns texts into vectors in a region that the data's jurisdictions allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map.entries import RegionEntry, SpaceEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import StageDisabled
from trunkline_routing.edge import candidates
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.model import Gate, Vector
from trunkline_routing.edge.ports import Inference
from trunkline_routing.edge.trail import TrailRecorder

MAX_QUERIES: Final = 64
"""Queries in one call; the contract's bound."""
MAX_PASSAGES: Final = 8
"""Passages in one call: long texts, of which a CPU embeds some ten a second. A call of many would be slow enough for a
breaker to take the model for broken, and would keep queries waiting behind it."""

_STAGE: Final = trail_pb.STAGE_NAME_EMBEDDING


class Embedding:
    """Embeds queries and passages, in this router's region or in another one behind the same wall."""

    def __init__(self, inference: Inference, queries: Failover, passages: Failover) -> None:
        """Use one port in several regions. Writes have a breaker of their own, so that they cannot cut off searches."""
        self._inference = inference
        self._queries = queries
        self._passages = passages

    async def embed(
        self,
        gate: Gate,
        space: SpaceEntry,
        texts: Sequence[str],
        *,
        wall: frozenset[str],
        deadline: Deadline,
        passages: bool = False,
        trail: TrailRecorder | None = None,
    ) -> list[Vector]:
        """Return one vector for each text.

        Raises domain errors when no allowed region could do it, StageDisabled where it is switched off for the tenant:
        here, because background work that no request's terms are asked for passes here too. The trail counts passages
        as they are embedded.
        """
        if _STAGE in gate.tenant.disabled_stages:
            raise StageDisabled(metadata={"stage": "embedding"})
        vectors: list[Vector] = []
        size = MAX_PASSAGES if passages else MAX_QUERIES
        failover = self._passages if passages else self._queries
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]

            async def attempt(region: RegionEntry, share: Deadline, batch: Sequence[str] = batch) -> Sequence[Vector]:
                return await self._inference.embed(region, space, batch, passages=passages, deadline=share)

            with _counted(trail, len(batch) if passages else 0):
                region, embedded = await failover.first(
                    candidates.within(gate, wall, failover.tier, stage=_STAGE),
                    attempt,
                    deadline=deadline,
                    subject={"space": space.space_id},
                    tenant_id=gate.tenant.tenant_id,
                )
            vectors.extend(embedded)
            if trail is not None and region.region_id != gate.region.region_id:
                trail.degrade(trail_pb.DEGRADATION_REASON_EMBEDDED_IN_OTHER_REGION, region.region_id)
        return vectors


@contextmanager
def _counted(trail: TrailRecorder | None, passages: int) -> Iterator[None]:
    """Count passages that were embedded, or whose caller gave up while a model was asked; where that failed, none."""
    failed = False
    try:
        yield
    except Exception:
        failed = True
        raise
    finally:
        if trail is not None and not failed:
            trail.passages += passages
