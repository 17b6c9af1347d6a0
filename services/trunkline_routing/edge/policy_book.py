"""Policies held ready: read from their blob once for each version, compiled, and embedded when first needed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from trunkline_map.blob import BlobMissingError
from trunkline_map.entries import CollectionEntry, PolicyPointer, SpaceEntry
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DomainError
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.gate import readable, wall
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_text import RoutingPolicy, parse_policy
from trunkline_routing.edge.rules import Rules
from trunkline_routing.edge.semantics import Semantics, prototype_texts

PREPARE_S: Final = 20.0
"""Time that reading a policy, and embedding its examples, may take; it goes on when the query that began it gave up."""

log = get_logger("policies")


class BlobReader(Protocol):
    """Where policies' texts lie; trunkline_map.blob has it."""

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """Return the blob; raise BackendUnavailable if the store fails, BlobMissingError if it is not there."""


@dataclass(frozen=True, slots=True)
class _Basis:
    """What semantics rest on: with another model or other texts they are void."""

    space: SpaceEntry
    texts: tuple[tuple[str, str], ...]
    """`(collection, text)` of every prototype."""
    wall: frozenset[str]


@dataclass(slots=True)
class PreparedPolicy:
    """A policy, compiled."""

    policy: RoutingPolicy
    rules: Rules
    semantics: Semantics | None = None
    semantics_basis: _Basis | None = None
    preparing: asyncio.Task[None] | None = field(default=None, repr=False)
    seen: tuple[Sequence[CollectionEntry], SpaceEntry] | None = field(default=None, repr=False)
    """The tenant's collections and the space for which the basis was last compared."""


class PolicyBook:
    """The policies that this router has met, least recently used ones forgotten."""

    def __init__(self, blobs: BlobReader, embedding: Embedding, *, capacity: int) -> None:
        """Keep at most `capacity` policies."""
        self._blobs = blobs
        self._embedding = embedding
        self._capacity = capacity
        self._prepared: OrderedDict[tuple[str, str], PreparedPolicy] = OrderedDict()
        self._loading: dict[tuple[str, str], asyncio.Task[PreparedPolicy]] = {}

    async def get(self, gate: Gate, pointer: PolicyPointer, deadline: Deadline) -> PreparedPolicy:
        """Return the tenant's policy, reading it first if nobody has; waits at most until `deadline`.

        Raises domain errors if its text cannot be read or is not valid any more, TimeoutError.
        """
        key = (pointer.tenant_id, pointer.digest)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
            return prepared
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(gate.region.jurisdiction, pointer))
            loading.add_done_callback(_log_failure)
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        async with asyncio.timeout(deadline.remaining_s()):
            return await asyncio.shield(loading)

    async def _load(self, jurisdiction: str, pointer: PolicyPointer) -> PreparedPolicy:
        try:
            async with asyncio.timeout(PREPARE_S):
                content = await self._blobs.get(jurisdiction, pointer.digest)
                # A policy may have 256 KiB: to parse and compile it here would hold up every other request.
                prepared = await asyncio.to_thread(_prepare, content)
        except (BlobMissingError, ValueError) as exc:
            raise BackendUnavailable("the tenant's policy cannot be read") from exc
        self._prepared[pointer.tenant_id, pointer.digest] = prepared
        while len(self._prepared) > self._capacity:
            _, forgotten = self._prepared.popitem(last=False)
            if forgotten.preparing is not None:
                forgotten.preparing.cancel()
        return prepared

    async def semantics(self, gate: Gate, prepared: PreparedPolicy, space: SpaceEntry, deadline: Deadline) -> Semantics:
        """Return the policy's prototypes in a space, embedding them first if nobody has; waits at most to `deadline`.

        They are embedded anew when the map's collections, their descriptions or the space's model have changed. One
        task embeds for all who wait, and goes on when they give up. Raises domain errors, TimeoutError.
        """
        seen = (gate.snapshot.collections_of(gate.tenant.tenant_id), space)
        known = prepared.seen
        if prepared.semantics is not None and known is not None and known[0] is seen[0] and known[1] == space:
            return prepared.semantics
        basis = _basis_of(gate, prepared.policy, space)
        while prepared.semantics is None or prepared.semantics_basis != basis:
            if prepared.preparing is None or prepared.preparing.done():
                prepared.preparing = asyncio.ensure_future(self._embed(gate, prepared, basis))
                prepared.preparing.add_done_callback(_log_failure)
            async with asyncio.timeout(deadline.remaining_s()):
                await asyncio.shield(prepared.preparing)
        prepared.seen = seen
        return prepared.semantics

    async def _embed(self, gate: Gate, prepared: PreparedPolicy, basis: _Basis) -> None:
        vectors = await self._embedding.embed(
            gate,
            basis.space,
            [text for _, text in basis.texts],
            wall=basis.wall,
            deadline=Deadline.after(PREPARE_S),
        )
        prepared.semantics = Semantics([owner for owner, _ in basis.texts], vectors)
        prepared.semantics_basis = basis

    async def close(self) -> None:
        """Stop whatever is still being read or embedded."""
        tasks: list[asyncio.Task[None] | asyncio.Task[PreparedPolicy]] = [
            one.preparing for one in self._prepared.values() if one.preparing is not None
        ]
        tasks.extend(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _prepare(content: bytes) -> PreparedPolicy:
    policy = parse_policy(content.decode())
    return PreparedPolicy(policy, Rules(policy))


def _basis_of(gate: Gate, policy: RoutingPolicy, space: SpaceEntry) -> _Basis:
    """Only collections that may be read here are compared: the others' texts do not come here."""
    found = (gate.snapshot.collection(gate.tenant.tenant_id, name) for name in policy.collections)
    entries = [entry for entry in found if entry is not None and readable(gate, entry)]
    descriptions = {entry.collection_id: entry.description for entry in entries}
    texts = tuple((owner, text) for owner, text in prototype_texts(policy, descriptions) if owner in descriptions)
    return _Basis(space, texts, wall(gate, entries))


def _log_failure(task: asyncio.Task[None] | asyncio.Task[PreparedPolicy]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, DomainError):
        log.warning("policy could not be prepared", error_type=type(error).__name__)
    elif error is not None:
        log.error("policy could not be prepared", error_type=type(error).__name__, exc_info=error)
