"""Use cases of policies: the text in blobs within the tenant's jurisdictions, a pointer to it in the map."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from trunkline_map.blob import BlobMissingError, BlobPort, digest_of
from trunkline_map.entries import PolicyPointer, TenantEntry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendUnavailable, Internal, PolicyUnknown, TenantUnknown
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.scans import pages
from trunkline_routing.control.tiers import require_active

PolicyCheck = Callable[[str, set[str]], None]
"""Raises FieldInvalid for a text that is no policy, CollectionUnknown if it names a collection that is not given."""


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy as it is kept."""

    pointer: PolicyPointer
    yaml: str
    token: bytes


class Policies:
    """Policies of tenants. All methods raise TenantUnknown, MapUnwritable, BackendUnavailable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, blobs: BlobPort, check: PolicyCheck) -> None:
        """Work on `maps` and `blobs`; `check` knows what a policy is. It runs in a thread and must be pure."""
        self._maps = maps
        self._blobs = blobs
        self._check = check

    async def get(self, tenant_id: str, deadline: Deadline) -> StoredPolicy:
        """Return the tenant's policy; raise PolicyUnknown."""
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        state = await self._maps.read([tenant, key], deadline)
        if entry_of(state, tenant, TenantEntry) is None:
            raise TenantUnknown
        pointer = entry_of(state, key, PolicyPointer)
        if pointer is None:
            raise PolicyUnknown
        return StoredPolicy(pointer, await self._text(pointer), state.token)

    async def put(self, tenant_id: str, yaml: str, revision: int, how: How, deadline: Deadline) -> StoredPolicy:
        """Check and replace the policy whose current revision is `revision`; return it as written.

        The text is kept in every jurisdiction of the tenant before the map points to it. Raises what the check
        raises, RevisionConflict, and TenantSuspended for the tenant's own admin.
        """
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        content = yaml.encode()

        async def decide(state: MapState) -> Plan:
            owner = state.entry(tenant, TenantEntry)
            if owner is None:
                raise TenantUnknown
            require_active(owner, how)
            state.require_revision(key, revision)
            before = state.entry(key, PolicyPointer) if revision else None
            await asyncio.to_thread(self._check, yaml, await self._collection_names(tenant_id, deadline))
            await self._keep(content, owner.jurisdictions)
            pointer = PolicyPointer(
                tenant_id=tenant_id,
                version=1 if before is None else before.version + 1,
                digest=digest_of(content),
                jurisdictions=owner.jurisdictions,
                size_bytes=len(content),
            )
            return Plan(puts=[pointer])

        change = await self._maps.change([Prepared(key, [tenant, key], decide)], how, deadline)
        written = change.entry(key, PolicyPointer)
        assert written is not None
        return StoredPolicy(written, yaml, change.token)

    async def _collection_names(self, tenant_id: str, deadline: Deadline) -> set[str]:
        """A collection deleted after this is as one deleted after the write: policies may name what is gone."""
        prefix = folder(Kind.COLLECTION, tenant_id)
        names: set[str] = set()
        async for page in pages(self._maps.kv, prefix, deadline):
            names |= {key.collection_id for item in page.items if (key := MapKey.parse(item.key)) is not None}
        return names

    async def _keep(self, content: bytes, jurisdictions: frozenset[str]) -> None:
        async with asyncio.TaskGroup() as group:
            for jurisdiction in sorted(jurisdictions):
                group.create_task(self._blobs.put(jurisdiction, content))

    async def _text(self, pointer: PolicyPointer) -> str:
        """Read the blob from whichever of its jurisdictions has it."""
        cause: Exception | None = None
        for jurisdiction in sorted(pointer.jurisdictions):
            try:
                return (await self._blobs.get(jurisdiction, pointer.digest)).decode()
            except (BlobMissingError, BackendUnavailable) as exc:
                cause = exc
            except UnicodeDecodeError as exc:
                raise Internal("a stored policy is no text") from exc
        raise BackendUnavailable("the policy's text cannot be read") from cause
