"""Use case: every policy that its tenants' routers read, live or in a rollout, has a head for what it says now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from trunkline_map.entries import HeadPointer
from trunkline_map.source import MapSource
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RevisionConflict, RolloutUnknown, TenantUnknown
from trunkline_routing.learner.heads import Basis, Heads, basis_of
from trunkline_routing.learner.ports import Control, HeadBlobs, Policies
from trunkline_routing.learner.scene import Scene, scene_of

HEAD_S: Final = 900.0
"""Time that one head may take, embedding included: 20,000 examples at 30 a second."""

_HEADS = metrics.counter("learner_heads", "Heads that were trained, by kind.", ("kind",))


class HeadUpkeep:
    """Makes what a tenant's pointer lacks, one head a turn, so that no tenant keeps others waiting for two."""

    def __init__(self, source: MapSource, policies: Policies, heads: Heads, blobs: HeadBlobs, control: Control) -> None:
        """Use the ports."""
        self._source = source
        self._policies = policies
        self._heads = heads
        self._blobs = blobs
        self._control = control

    async def turn(self, tenant_id: str) -> bool:
        """Make one head that is missing; return False if none was. The map tells of it, and so brings the next turn.

        Raises domain errors and TrainingFailedError.
        """
        try:
            scene = scene_of(self._source.snapshot, tenant_id)
        except TenantUnknown:
            return False
        for digest, form_digest, noted in _texts_of(scene):
            policy = await self._policies.read(scene.jurisdictions, form_digest, digest)
            basis = await asyncio.to_thread(basis_of, scene, policy)
            if basis is not None and all(head.basis_digest != basis.digest for head in noted):
                await self._make(scene, digest, basis)
                return True
        return False

    async def _make(self, scene: Scene, policy_digest: str, basis: Basis) -> None:
        deadline = Deadline.after(HEAD_S)
        head = await self._heads.of(scene, basis, (), deadline)
        assert head is not None  # there is a basis
        digest, size_bytes = await self._blobs.put(scene.jurisdictions, head)
        pointer = HeadPointer(
            policy_digest=policy_digest,
            digest=digest,
            size_bytes=size_bytes,
            space_id=basis.space.space_id,
            model_id=basis.space.model_id,
            model_revision=basis.space.model_revision,
            basis_digest=basis.digest,
        )
        try:
            await self._control.put_head(scene.tenant_id, pointer, deadline)
        except (RevisionConflict, RolloutUnknown):
            return  # the policy changed meanwhile: its next text is looked at when the map tells of it
        _HEADS.labels(head.kind).inc()


def _texts_of(scene: Scene) -> Iterator[tuple[str, str, tuple[HeadPointer, ...]]]:
    """Yield digest, form's digest and heads of every text that routers read."""
    pointer = scene.live
    if pointer is None:
        return
    yield pointer.digest, pointer.form_digest, pointer.heads
    if pointer.rollout is not None:
        yield pointer.rollout.digest, pointer.rollout.form_digest, pointer.rollout.heads
