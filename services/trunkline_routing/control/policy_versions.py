"""Versions of policies: each has its record, written in the change's own transaction; the last 1,000 are kept.

Versions count up by one, so the transaction that writes one removes the one that falls out: the bound is exact and
costs nothing. Only what a removed tenant of the same name left is swept, before the first version of the new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import HeadPointer, PolicyPointer, RolloutEntry
from trunkline_map.keys import Kind, MapKey, policy_version_key, policy_versions
from trunkline_map.store import (
    MAX_TRANSACTION_KEYS,
    KeyValue,
    StoreCompactedError,
    StoreUnavailableError,
    Transaction,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import PageExpired, PolicyUnknown, PolicyVersionUnknown, TenantUnknown
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.how import How
from trunkline_routing.control.map_state import Plan
from trunkline_routing.control.map_store import MapStore, call_timeout_s
from trunkline_routing.control.paging import PageRequest, PageToken, encode, foreign_page_token
from trunkline_routing.control.policy_texts import TextPointer
from trunkline_routing.control.scans import pages

KEPT: Final = 1_000
"""Versions of a tenant's policy that are kept."""

MAX_HEADS: Final = 4
"""Heads that are noted for one text, one for each space."""


class VersionPage(NamedTuple):
    """One page of versions, the newest first."""

    versions: tuple[storage_pb.PolicyVersionRecord, ...]
    next_page_token: str
    """Empty on the last page."""


def new_version(
    before: PolicyPointer | None,
    after: PolicyPointer,
    how: How,
    now_s: float,
    *,
    restored_version: int = 0,
) -> Plan:
    """Return the plan that writes the next version in place of `before`: the pointer and the version's record.

    `after` says what the version's text is; its number, heads and rollout are decided here: heads that were trained for
    this very text stay, and a rollout stays only where the text does, since it was measured against that text.
    """
    version = 1 if before is None else before.version + 1
    pointer = replace(
        after, version=version, heads=heads_for(before, after.digest), rollout=_staying_rollout(before, after, version)
    )
    text = TextPointer(pointer.digest, pointer.form_digest, pointer.size_bytes)
    record = _record(version, text)
    record.change_time.FromNanoseconds(int(now_s * 1e9))
    record.actor, record.comment, record.restored_version = how.actor, how.comment, restored_version
    puts = {policy_version_key(pointer.tenant_id, version): record.SerializeToString()}
    if before is not None and not before.form_digest:
        # Written before versions were kept: without a record of its own nobody could go back to it.
        old = _record(before.version, TextPointer(before.digest, "", before.size_bytes))
        puts[policy_version_key(pointer.tenant_id, before.version)] = old.SerializeToString()
    dropped = [policy_version_key(pointer.tenant_id, version - KEPT)] if version > KEPT else []
    restores = restored_version > 0
    return Plan(puts=[pointer], control_puts=puts, control_deletes=dropped, restores=restores)


def heads_for(before: PolicyPointer | None, digest: str) -> tuple[HeadPointer, ...]:
    """Return what of a policy's heads, and of its rollout's, was trained for the text of this digest."""
    if before is None:
        return ()
    noted = [*before.heads, *(before.rollout.heads if before.rollout is not None else ())]
    return tuple(head for head in noted if head.policy_digest == digest)[:MAX_HEADS]


def _staying_rollout(before: PolicyPointer | None, after: PolicyPointer, version: int) -> RolloutEntry | None:
    if before is None or before.rollout is None or before.digest != after.digest:
        return None
    return replace(before.rollout, base_version=version)


def _record(version: int, text: TextPointer) -> storage_pb.PolicyVersionRecord:
    return storage_pb.PolicyVersionRecord(
        version=version, digest=text.digest, form_digest=text.form_digest, size_bytes=text.size_bytes
    )


class PolicyVersions:
    """Reads versions. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Read what lies beside `maps`."""
        self._maps = maps

    async def find(
        self, tenant_id: str, version: int, deadline: Deadline
    ) -> tuple[storage_pb.PolicyVersionRecord, PolicyPointer, bytes]:
        """Return a version's record, the live pointer, and the token of the state that was read.

        Raises TenantUnknown, PolicyUnknown and PolicyVersionUnknown.
        """
        tenant, policy = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        key = policy_version_key(tenant_id, version)
        state = await self._maps.read_live([tenant, policy], deadline, control_keys=[key])
        if not state.revision_of(tenant):
            raise TenantUnknown
        pointer = state.entry(policy, PolicyPointer)
        if pointer is None:
            raise PolicyUnknown
        item = state.raw.get(key)
        record = None if item is None else _read(item)
        if record is None and version == pointer.version:
            record = _record(version, TextPointer(pointer.digest, pointer.form_digest, pointer.size_bytes))
        if record is None:
            raise PolicyVersionUnknown
        return record, pointer, state.token

    async def listed(self, tenant_id: str, page: PageRequest, deadline: Deadline) -> VersionPage:
        """Return one page of versions, all pages at one revision.

        Raises TenantUnknown, PolicyUnknown, FieldInvalid for a page token of another list, and PageExpired.
        """
        epoch = await self._require_policy(tenant_id, deadline)
        prefix = policy_versions(tenant_id)
        after, revision = (page.token.after_key, page.token.revision) if page.token else (b"", 0)
        if after and not after.startswith(prefix):
            raise foreign_page_token()
        if page.token is not None and page.token.epoch != epoch:
            raise PageExpired
        try:
            found = await self._maps.kv.list_page(
                prefix,
                after=after,
                limit=page.size,
                revision=revision,
                descending=True,
                timeout_s=call_timeout_s(deadline),
            )
        except StoreCompactedError as exc:
            raise PageExpired from exc
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        more = found.more and bool(found.items)
        following = encode(PageToken(found.revision, found.items[-1].key, epoch)) if more else ""
        return VersionPage(tuple(record for item in found.items if (record := _read(item)) is not None), following)

    async def sweep(self, tenant_id: str, deadline: Deadline) -> None:
        """Remove what a removed tenant of this name left, while there is no policy; at most some 1,000 records."""
        policy = MapKey(Kind.POLICY, tenant_id).encode()
        async for page in pages(self._maps.kv, policy_versions(tenant_id), deadline, keys_only=True):
            for keys in _portions([item.key for item in page.items]):
                transaction = Transaction(compares={policy: 0}, deletes=keys)
                await self._maps.kv.commit(transaction, timeout_s=call_timeout_s(deadline))

    async def _require_policy(self, tenant_id: str, deadline: Deadline) -> bytes:
        """Return the map's epoch; raise TenantUnknown or PolicyUnknown."""
        tenant, policy = MapKey(Kind.TENANT, tenant_id), MapKey(Kind.POLICY, tenant_id)
        state = await self._maps.read_live([tenant, policy], deadline)
        if not state.revision_of(tenant):
            raise TenantUnknown
        if not state.revision_of(policy):
            raise PolicyUnknown
        return state.epoch


def _portions(keys: Sequence[bytes]) -> list[Sequence[bytes]]:
    size = MAX_TRANSACTION_KEYS - 1  # one for the comparison
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _read(item: KeyValue) -> storage_pb.PolicyVersionRecord | None:
    try:
        return storage_pb.PolicyVersionRecord.FromString(item.value)
    except DecodeError:
        return None
