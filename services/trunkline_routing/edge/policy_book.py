"""Policies held ready: read from their blob once for each version, compiled, and embedded when first needed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

from trunkline_map.entries import PolicyPointer
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.gate import readable, wall
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_text import RoutingPolicy, parse_policy
from trunkline_routing.edge.rules import Rules
from trunkline_routing.edge.semantics import Semantics, prototype_texts

PREPARE_S = 20.0
"""Time that embedding a policy's examples may take; it goes on when the query that began it has given up."""

log = get_logger("policies")


class BlobReader(Protocol):
    """Where policies' texts lie; trunkline_map.blob has it."""

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """Return the blob; raise BackendUnavailable if it cannot be read."""


@dataclass(slots=True)
class PreparedPolicy:
    """A policy, compiled."""

    policy: RoutingPolicy
    version: int
    rules: Rules
    semantics: Semantics | None = None
    preparing: asyncio.Task[Semantics] | None = field(default=None, repr=False)


class PolicyBook:
    """The policies that this router has met, least recently used ones forgotten."""

    def __init__(self, blobs: BlobReader, embedding: Embedding, *, capacity: int) -> None:
        """Keep at most `capacity` policies."""
        self._blobs = blobs
        self._embedding = embedding
        self._capacity = capacity
        self._prepared: OrderedDict[tuple[str, str], PreparedPolicy] = OrderedDict()

    async def get(self, gate: Gate, pointer: PolicyPointer) -> PreparedPolicy:
        """Return the tenant's policy; raise domain errors if its text cannot be read or is not valid any more."""
        key = (pointer.tenant_id, pointer.digest)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
            return prepared
        text = await self._blobs.get(gate.region.jurisdiction, pointer.digest)
        policy = parse_policy(text.decode())
        prepared = self._prepared[key] = PreparedPolicy(policy, pointer.version, Rules(policy))
        while len(self._prepared) > self._capacity:
            _, forgotten = self._prepared.popitem(last=False)
            if forgotten.preparing is not None:
                forgotten.preparing.cancel()
        return prepared

    async def semantics(self, gate: Gate, prepared: PreparedPolicy, space_id: str, deadline: Deadline) -> Semantics:
        """Return the policy's prototypes, embedding them first if nobody has; waits at most until `deadline`.

        One task embeds for all who wait, and goes on when they give up. Raises domain errors, TimeoutError.
        """
        if prepared.semantics is not None:
            return prepared.semantics
        if prepared.preparing is None or prepared.preparing.done():
            prepared.preparing = asyncio.ensure_future(self._embed(gate, prepared, space_id))
            prepared.preparing.add_done_callback(_log_failure)
        async with asyncio.timeout(deadline.remaining_s()):
            return await asyncio.shield(prepared.preparing)

    async def _embed(self, gate: Gate, prepared: PreparedPolicy, space_id: str) -> Semantics:
        entries = [
            entry
            for name in prepared.policy.collections
            if (entry := gate.snapshot.collection(gate.tenant.tenant_id, name)) is not None and readable(gate, entry)
        ]
        readable_names = {entry.collection_id for entry in entries}
        texts = prototype_texts(prepared.policy, {entry.collection_id: entry.description for entry in entries})
        texts = [(owner, text) for owner, text in texts if owner in readable_names]
        space = gate.snapshot.space(space_id)
        if space is None or not texts:
            prepared.semantics = Semantics([], [])
            return prepared.semantics
        vectors = await self._embedding.embed(
            gate, space, [text for _, text in texts], wall=wall(gate, entries), deadline=Deadline.after(PREPARE_S)
        )
        prepared.semantics = Semantics([owner for owner, _ in texts], vectors)
        return prepared.semantics

    async def close(self) -> None:
        """Stop whatever is still being embedded."""
        tasks = [one.preparing for one in self._prepared.values() if one.preparing is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _log_failure(task: asyncio.Task[Semantics]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, DomainError):
        log.warning("policy could not be embedded", error_type=type(error).__name__)
    elif error is not None:
        log.error("policy could not be embedded", error_type=type(error).__name__, exc_info=error)
