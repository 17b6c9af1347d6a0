"""Heads for policies: found where one was trained for the same basis, else made."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import HeadPointer, SpaceEntry
from trunkline_mesh.deadline import Deadline
from trunkline_policy.basis import BasisText, basis_digest, basis_texts
from trunkline_policy.head import HeadSet
from trunkline_policy.model import RoutingPolicy
from trunkline_routing.learner.library import Recent
from trunkline_routing.learner.ports import Embedder, HeadBlobs, Trainer
from trunkline_routing.learner.scene import Scene

MAX_MADE: Final = 8
"""Heads of candidates that are kept, so that several calls of one evaluation train once."""


@dataclass(frozen=True, slots=True)
class Basis:
    """What a policy's head is made from."""

    space: SpaceEntry
    texts: tuple[BasisText, ...]
    digest: str


def basis_of(scene: Scene, policy: RoutingPolicy) -> Basis | None:
    """Return what the policy's head rests on; None where it decides without one."""
    asks = policy.strategy in ("semantic", "hybrid") or policy.templates or policy.model_classes
    space = scene.routing_space(policy)
    if not asks or space is None:
        return None
    texts = basis_texts(policy, scene.descriptions)
    digest = basis_digest(texts, space.space_id, space.model_id, space.model_revision)
    return Basis(space, tuple(texts), digest) if texts else None


class Heads:
    """Finds heads, and makes those that are missing."""

    def __init__(self, embedder: Embedder, trainer: Trainer, blobs: HeadBlobs) -> None:
        """Use the ports."""
        self._embedder = embedder
        self._trainer = trainer
        self._blobs = blobs
        self._made: Recent[HeadSet] = Recent(MAX_MADE)
        self._turn = asyncio.Lock()

    async def of(
        self, scene: Scene, basis: Basis | None, noted: Sequence[HeadPointer], deadline: Deadline
    ) -> HeadSet | None:
        """Return the head for the basis: one that is `noted`, else a new one; None without a basis.

        Raises domain errors and TrainingFailedError.
        """
        if basis is None:
            return None
        known = self._made.get(basis.digest)
        pointer = next((head for head in noted if head.basis_digest == basis.digest), None)
        if known is None and pointer is not None:
            known = await self._blobs.get(scene.jurisdictions, pointer.digest)
        return known if known is not None else await self.make(scene, basis, deadline)

    async def make(self, scene: Scene, basis: Basis, deadline: Deadline) -> HeadSet:
        """Embed, and train: one head at a time, and one that several ask for once.

        Raises domain errors and TrainingFailedError.
        """
        texts = [each.text for each in basis.texts]
        vectors = await self._embedder.embed(scene.tenant_id, basis.space, texts, deadline)
        async with self._turn:
            head = self._made.get(basis.digest)
            if head is None:
                head = await self._trainer.train(basis.texts, vectors, basis.space)
                self._made.put(basis.digest, head)
        return head
