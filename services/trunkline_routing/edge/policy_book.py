"""Policies held ready: read from their blob once for each version, and compiled in a thread."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Protocol

from trunkline_map.blob import BlobMissingError
from trunkline_map.entries import PolicyPointer, RolloutEntry, RolloutState
from trunkline_map.snapshot import MapSnapshot
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, DomainError
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.prepared_policy import PreparedPolicy, compiler

PREPARE_S: Final = 20.0
"""Time that reading and compiling a policy may take; it goes on when the query that began it gave up."""

log = get_logger("policies")


class BlobReader(Protocol):
    """Where policies' texts lie; trunkline_map.blob has it."""

    async def get(self, jurisdiction: str, digest: str) -> bytes:
        """Return the blob; raise BackendUnavailable if the store fails, BlobMissingError if it is not there."""


class PolicyBook:
    """The policies that this router has met, least recently used ones forgotten."""

    def __init__(self, blobs: BlobReader, *, capacity: int) -> None:
        """Keep at most `capacity` policies."""
        self._blobs = blobs
        self._capacity = capacity
        self._prepared: OrderedDict[tuple[str, str], PreparedPolicy] = OrderedDict()
        self._loading: dict[tuple[str, str], asyncio.Task[PreparedPolicy]] = {}
        self._used: OrderedDict[str, PolicyPointer] = OrderedDict()

    async def get(self, jurisdiction: str, pointer: PolicyPointer, deadline: Deadline) -> PreparedPolicy:
        """Return the tenant's live policy, reading it first if nobody has; waits at most until `deadline`.

        Raises domain errors if it cannot be read or is not valid any more, TimeoutError.
        """
        if self._used.get(pointer.tenant_id) is not pointer:
            self._note_use(pointer)
        return await self._get(jurisdiction, pointer.tenant_id, pointer.digest, pointer.form_digest, deadline)

    async def rollout(
        self, jurisdiction: str, tenant_id: str, entry: RolloutEntry, deadline: Deadline
    ) -> PreparedPolicy:
        """Return the policy of a rollout, as `get`."""
        return await self._get(jurisdiction, tenant_id, entry.digest, entry.form_digest, deadline)

    def changed(self, snapshot: MapSnapshot) -> Iterator[PolicyPointer]:
        """Yield the present pointers of policies in use that the map has changed since they were last asked for."""
        for tenant_id, known in list(self._used.items()):
            pointer = snapshot.policy(tenant_id)
            if pointer is None:
                del self._used[tenant_id]
            elif pointer is not known:
                yield pointer

    async def _get(
        self, jurisdiction: str, tenant_id: str, digest: str, form_digest: str, deadline: Deadline
    ) -> PreparedPolicy:
        key = (tenant_id, digest)
        prepared = self._prepared.get(key)
        if prepared is not None:
            self._prepared.move_to_end(key)
            return prepared
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(jurisdiction, key, form_digest))
            loading.add_done_callback(log_failure)
            loading.add_done_callback(lambda _: self._loading.pop(key, None))
        async with asyncio.timeout(deadline.remaining_s()):
            return await asyncio.shield(loading)

    async def _load(self, jurisdiction: str, key: tuple[str, str], form_digest: str) -> PreparedPolicy:
        tenant_id, digest = key
        try:
            async with asyncio.timeout(PREPARE_S):
                prepared = await self._read(jurisdiction, digest, form_digest)
        except (BlobMissingError, ValueError) as exc:
            raise BackendUnavailable("the tenant's policy cannot be read") from exc
        self._prepared[tenant_id, digest] = prepared
        while len(self._prepared) > self._capacity:
            self._prepared.popitem(last=False)
        return prepared

    async def _read(self, jurisdiction: str, digest: str, form_digest: str) -> PreparedPolicy:
        """Prefer the form, which is quick to read. A text stands for a form that is missing or of a later router."""
        if form_digest:
            try:
                content = await self._blobs.get(jurisdiction, form_digest)
                # A policy may have megabytes: to compile it here would hold up every other request.
                return await asyncio.to_thread(compiler(digest, form=True), content)
            except (BlobMissingError, ValueError) as exc:
                log.warning("a policy's form cannot be read", error_type=type(exc).__name__)
        content = await self._blobs.get(jurisdiction, digest)
        return await asyncio.to_thread(compiler(digest, form=False), content)

    def _note_use(self, pointer: PolicyPointer) -> None:
        self._used[pointer.tenant_id] = pointer
        self._used.move_to_end(pointer.tenant_id)
        while len(self._used) > self._capacity:
            self._used.popitem(last=False)

    async def close(self) -> None:
        """Stop whatever is still being read."""
        tasks = list(self._loading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def decides(entry: RolloutEntry) -> bool:
    """Return True if a rollout concerns routers: a proposal waits for a person."""
    return entry.state in (RolloutState.SHADOW, RolloutState.CANARY)


def log_failure(task: asyncio.Task[PreparedPolicy]) -> None:
    """Log why preparing failed: whoever asked for it may have gone."""
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, DomainError):
        log.warning("policy could not be prepared", error_type=type(error).__name__)
    elif error is not None:
        log.error("policy could not be prepared", error_type=type(error).__name__, exc_info=error)
