"""Use case: decide labelled queries by a policy that is not live, and by the live one beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_map.blob import digest_of
from trunkline_map.source import MapSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, PolicyUnknown
from trunkline_policy.document import check_policy, parse_policy, to_form
from trunkline_policy.head import HeadSet
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.results import Caller
from trunkline_routing.learner.deciding import Outcome, PolicyDecider
from trunkline_routing.learner.heads import Heads, basis_of
from trunkline_routing.learner.library import Recent
from trunkline_routing.learner.ports import Embedder, Matrix, Policies, TrainingFailedError
from trunkline_routing.learner.scene import Scene, scene_of

MAX_PREPARED: Final = 8
"""Compiled policies that are kept, so that several calls of one evaluation compile once."""


@dataclass(frozen=True, slots=True)
class Question:
    """A query and who asks it."""

    text: str
    caller: Caller


@dataclass(frozen=True, slots=True)
class Evaluated:
    """Decisions by the sent policy, by the live one, and what the evaluated one's semantics rest on."""

    candidate: tuple[Outcome, ...] | None
    live: tuple[Outcome, ...] | None
    live_version: int
    head: HeadSet | None


class Evaluation:
    """Prepares policies and decides by them."""

    def __init__(self, source: MapSource, policies: Policies, heads: Heads, embedder: Embedder) -> None:
        """Use the ports."""
        self._source = source
        self._policies = policies
        self._heads = heads
        self._embedder = embedder
        self._prepared: Recent[PolicyDecider] = Recent(MAX_PREPARED)

    async def evaluate(self, tenant_id: str, yaml: str, questions: Sequence[Question], deadline: Deadline) -> Evaluated:
        """Decide every question. Raises TenantUnknown, FieldInvalid, CollectionUnknown and BackendUnavailable.

        PolicyUnknown where neither a policy was sent nor one is live.
        """
        scene = scene_of(self._source.snapshot, tenant_id)
        if not yaml and scene.live is None:
            raise PolicyUnknown
        sent = live = None
        if yaml:
            await asyncio.to_thread(check_policy, yaml, list(scene.descriptions))
            sent = await self.prepared(scene, await asyncio.to_thread(parse_policy, yaml), deadline)
        if scene.live is not None:
            live = await self.live(scene, deadline)
        used = sent or live
        return Evaluated(
            candidate=None if sent is None else await self.decide(scene, sent, questions, deadline),
            live=None if live is None else await self.decide(scene, live, questions, deadline),
            live_version=0 if scene.live is None else scene.live.version,
            head=None if used is None else used.head,
        )

    async def live(self, scene: Scene, deadline: Deadline) -> PolicyDecider:
        """Return the live policy, ready. Raises domain errors."""
        pointer = scene.pointer
        policy = await self._policies.read(scene.jurisdictions, pointer.form_digest, pointer.digest)
        return await self.prepared(scene, policy, deadline)

    async def prepared(self, scene: Scene, policy: RoutingPolicy, deadline: Deadline) -> PolicyDecider:
        """Return the policy, compiled and with its head. Raises domain errors."""
        basis = await asyncio.to_thread(basis_of, scene, policy)
        form = digest_of(await asyncio.to_thread(to_form, policy))
        key = f"{scene.tenant_id} {form} {'' if basis is None else basis.digest}"
        known = self._prepared.get(key)
        if known is not None:
            return known
        try:
            head = await self._heads.of(scene, basis, () if scene.live is None else scene.live.heads, deadline)
        except TrainingFailedError as exc:
            raise BackendUnavailable("the policy's head could not be trained") from exc
        decider = await asyncio.to_thread(PolicyDecider, policy, head)
        self._prepared.put(key, decider)
        return decider

    async def decide(
        self, scene: Scene, decider: PolicyDecider, questions: Sequence[Question], deadline: Deadline
    ) -> tuple[Outcome, ...]:
        """Decide every question by one policy. Raises domain errors."""
        vectors: Matrix | None = None
        space = scene.routing_space(decider.policy)
        if decider.head is not None and space is not None:
            texts = [question.text for question in questions]
            vectors = await self._embedder.embed(scene.tenant_id, space, texts, deadline)
        return await asyncio.to_thread(_decide_all, decider, questions, vectors)


def _decide_all(decider: PolicyDecider, questions: Sequence[Question], vectors: Matrix | None) -> tuple[Outcome, ...]:
    return tuple(
        decider.decide(question.text, None if vectors is None else vectors[row].tolist(), question.caller)
        for row, question in enumerate(questions)
    )
