"""Use cases of policies: the text in blobs within the tenant's jurisdictions, a pointer to it in the map."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_map.entries import HeadPointer, PolicyPointer, TenantEntry
from trunkline_map.keys import Kind, MapKey
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    BackendUnavailable,
    PolicyUnknown,
    PolicyVersionUnknown,
    RolloutUnknown,
    TenantUnknown,
)
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import MapState, Plan, Prepared, entry_of
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.paging import PageRequest
from trunkline_routing.control.policy_blobs import PolicyBlobs
from trunkline_routing.control.policy_texts import PolicyTexts
from trunkline_routing.control.policy_versions import PolicyVersions, VersionPage, heads_for, new_version
from trunkline_routing.control.tiers import require_active


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy's text as it is kept, live or not."""

    pointer: PolicyPointer
    """The live one."""
    yaml: str
    """Empty where it was not asked for."""
    token: bytes
    version: int
    """Whose text it is; 0 for a rollout's."""
    digest: str
    heads: tuple[HeadPointer, ...]
    """Those that were trained for this text."""


def live(pointer: PolicyPointer, yaml: str, token: bytes) -> StoredPolicy:
    """Return the live policy with its text."""
    return StoredPolicy(pointer, yaml, token, pointer.version, pointer.digest, pointer.heads)


class Policies:
    """Policies of tenants. All methods raise TenantUnknown, MapUnwritable, BackendUnavailable and DeadlineExceeded."""

    def __init__(self, maps: MapStore, blobs: PolicyBlobs, texts: PolicyTexts) -> None:
        """Work on `maps`; read texts from `blobs`, and write them by way of `texts`."""
        self._maps = maps
        self._blobs = blobs
        self._texts = texts
        self._versions = PolicyVersions(maps)

    async def get(self, tenant_id: str, deadline: Deadline) -> StoredPolicy:
        """Return the tenant's live policy; raise PolicyUnknown."""
        pointer, token = await self._pointer(tenant_id, deadline)
        return live(pointer, await self._text(pointer.digest, pointer.jurisdictions), token)

    async def get_version(self, tenant_id: str, version: int, deadline: Deadline) -> StoredPolicy:
        """Return a version that is kept.

        Raises PolicyUnknown, and PolicyVersionUnknown also where its text lies in none of the policy's jurisdictions
        any more, since the tenant has left those of then.
        """
        record, pointer, token = await self._versions.find(tenant_id, version, deadline)
        yaml = await self._blobs.text(record.digest, pointer.jurisdictions)
        if yaml is None:
            raise PolicyVersionUnknown("the version's text is not in the tenant's jurisdictions")
        return StoredPolicy(pointer, yaml, token, version, record.digest, heads_for(pointer, record.digest))

    async def get_rollout(self, tenant_id: str, deadline: Deadline) -> StoredPolicy:
        """Return the text of the rollout under way; raise PolicyUnknown and RolloutUnknown."""
        pointer, token = await self._pointer(tenant_id, deadline)
        rollout = pointer.rollout
        if rollout is None:
            raise RolloutUnknown
        yaml = await self._text(rollout.digest, pointer.jurisdictions)
        return StoredPolicy(pointer, yaml, token, 0, rollout.digest, rollout.heads)

    async def versions(self, tenant_id: str, page: PageRequest, deadline: Deadline) -> VersionPage:
        """As `PolicyVersions.listed`."""
        return await self._versions.listed(tenant_id, page, deadline)

    async def put(self, tenant_id: str, yaml: str, revision: int, how: How, deadline: Deadline) -> StoredPolicy:
        """Check and replace the policy whose current revision is `revision`; return it as written.

        The text is kept in every jurisdiction of the tenant before the map points to it. Raises what the check
        raises, RevisionConflict, and TenantSuspended for the tenant's own admin.
        """
        return await self._write(tenant_id, yaml, revision, 0, how, deadline)

    async def roll_back(
        self, tenant_id: str, version: int, revision: int, how: How, deadline: Deadline
    ) -> StoredPolicy:
        """Make an earlier version's text the policy again, under a new version. Raises as `put` and `get_version`."""
        earlier = await self.get_version(tenant_id, version, deadline)
        return await self._write(tenant_id, earlier.yaml, revision, version, how, deadline)

    async def _write(
        self, tenant_id: str, yaml: str, revision: int, restored_version: int, how: How, deadline: Deadline
    ) -> StoredPolicy:
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        wanted = self._texts.wanted(tenant_id, yaml)

        async def decide(state: MapState) -> Plan:
            owner = require_owner(state, tenant, how)
            state.require_revision(key, revision)
            before = state.entry(key, PolicyPointer) if revision else None
            text = await wanted.pointer(deadline)
            await wanted.keep(owner.jurisdictions, how, deadline)
            if before is None and not how.dry_run:
                await self._versions.sweep(tenant_id, deadline)
            after = PolicyPointer(
                tenant_id=tenant_id,
                version=1,
                digest=text.digest,
                jurisdictions=owner.jurisdictions,
                size_bytes=text.size_bytes,
                form_digest=text.form_digest,
                revision=state.revision_of(key),
            )
            return new_version(before, after, how, self._maps.now(), restored_version=restored_version)

        change = await self._maps.change([Prepared(key, [tenant, key], decide)], how, deadline)
        written = change.entry(key, PolicyPointer)
        assert written is not None
        return live(written, yaml, change.token)

    async def _pointer(self, tenant_id: str, deadline: Deadline) -> tuple[PolicyPointer, bytes]:
        tenant, key = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        state = await self._maps.read([tenant, key], deadline)
        if entry_of(state, tenant, TenantEntry) is None:
            raise TenantUnknown
        pointer = entry_of(state, key, PolicyPointer)
        if pointer is None:
            raise PolicyUnknown
        return pointer, state.token

    async def _text(self, digest: str, jurisdictions: frozenset[str]) -> str:
        yaml = await self._blobs.text(digest, jurisdictions)
        if yaml is None:
            raise BackendUnavailable("the policy's text cannot be read")
        return yaml


def require_owner(state: MapState, tenant: MapKey, how: How) -> TenantEntry:
    """Return the tenant whose policy is to change; raise TenantUnknown, or TenantSuspended for its own people."""
    owner = state.entry(tenant, TenantEntry)
    if owner is None:
        raise TenantUnknown
    require_active(owner, how)
    return owner


def require_policy(state: MapState, key: MapKey) -> PolicyPointer:
    """Return the policy that is to change; raise PolicyUnknown."""
    pointer = state.entry(key, PolicyPointer)
    if pointer is None:
        raise PolicyUnknown
    return pointer
