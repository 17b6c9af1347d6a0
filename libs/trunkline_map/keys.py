"""Names of keys. Those of the map lie under one prefix, so one watch sees every change in order."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final, NamedTuple, Self

PREFIX: Final = b"/trunkline/v1/"
"""The map: what services watch."""

CONTROL_PREFIX: Final = b"/trunkline/control/v1/"
"""What the control role keeps for itself: history, approvals, imports. No watch of the map covers it."""


class Kind(StrEnum):
    """What a key holds; the value is its folder."""

    EPOCH = "epoch"
    REGION = "regions"
    TENANT = "tenants"
    SPACE = "spaces"
    COLLECTION = "collections"
    POLICY = "policies"


_PARTS: Final = dict.fromkeys(Kind, 2) | {Kind.EPOCH: 1, Kind.COLLECTION: 3}
_KINDS: Final = {kind.value: (kind, _PARTS[kind]) for kind in Kind}
"""By folder: the kind, and of how many parts its keys are made. Looked up by text: an enumerator's hash is slow."""
_NONE: Final = (None, 0)


class MapKey(NamedTuple):
    """One key of the map. Ids are not checked here: control checks what it writes, records check what is read."""

    kind: Kind
    name: str = ""
    """Region, tenant or space; empty for the epoch."""
    collection_id: str = ""
    """The collection in its tenant, for collections only."""

    @property
    def path(self) -> str:
        """Return the key below the prefix, for example `collections/acme/docs`."""
        return "/".join(part for part in (self.kind.value, self.name, self.collection_id) if part)

    def encode(self) -> bytes:
        """Return the key as etcd holds it."""
        return PREFIX + self.path.encode()

    @classmethod
    def parse(cls, raw: bytes) -> Self | None:
        """Return the key, or None for one that this version does not know, such as a migration's."""
        if not raw.startswith(PREFIX):
            return None
        try:
            parts = raw[len(PREFIX) :].decode().split("/")
        except UnicodeDecodeError:
            return None
        kind, count = _KINDS.get(parts[0], _NONE)
        if kind is None or len(parts) != count or "" in parts:
            return None
        return cls(kind, *parts[1:])


EPOCH_KEY: Final = MapKey(Kind.EPOCH)


def folder(kind: Kind, tenant_id: str = "") -> bytes:
    """Return the prefix of all keys of a kind, or of one tenant's collections. It ends with a slash, so that
    tenant `a` never covers tenant `ab`.
    """
    within = f"{tenant_id}/" if tenant_id else ""
    return PREFIX + f"{kind.value}/{within}".encode()


_HISTORY: Final = CONTROL_PREFIX + b"history/"
_REVISION: Final = re.compile(r"[0-9a-f]{16}")

APPROVALS: Final = CONTROL_PREFIX + b"approvals/"
"""Folder of all approvals."""

IMPORTS: Final = CONTROL_PREFIX + b"imports/"
"""Folder of all imports."""

_POLICY_VERSIONS: Final = CONTROL_PREFIX + b"policy-versions/"


def history_key(entry: MapKey, revision: int) -> bytes:
    """Return the key of a change's record; `revision` (0 to 2**63 - 1) is the one at which the change was decided.

    Sixteen hexadecimal digits, so that the order of the keys is that of the revisions.
    """
    return history_folder(entry) + f"{revision:016x}".encode()


def history_folder(entry: MapKey) -> bytes:
    """Return the prefix of all records of one entry's changes."""
    return _HISTORY + f"{entry.path}/".encode()


def history_of_kind(kind: Kind, tenant_id: str = "") -> bytes:
    """Return the prefix of all records of a kind, or of one tenant's collections."""
    within = f"{tenant_id}/" if tenant_id else ""
    return _HISTORY + f"{kind.value}/{within}".encode()


def parse_history_key(raw: bytes) -> tuple[MapKey, int] | None:
    """Return the entry and the revision that a history key names, or None for another key."""
    if not raw.startswith(_HISTORY):
        return None
    path, _, digits = raw[len(_HISTORY) :].decode(errors="replace").rpartition("/")
    entry = MapKey.parse(PREFIX + path.encode())
    return (entry, int(digits, 16)) if entry is not None and _REVISION.fullmatch(digits) else None


def approval_key(approval_id: str) -> bytes:
    """Return the key of an approval; its id holds no slash."""
    return APPROVALS + approval_id.encode()


def import_key(import_id: str) -> bytes:
    """Return the key of an import; its id holds no slash."""
    return IMPORTS + import_id.encode()


def policy_versions(tenant_id: str) -> bytes:
    """Return the prefix of all versions of a tenant's policy."""
    return _POLICY_VERSIONS + f"{tenant_id}/".encode()


def policy_version_key(tenant_id: str, version: int) -> bytes:
    """Return the key of one version (1 to 2**63 - 1); the order of the keys is that of the versions."""
    return policy_versions(tenant_id) + f"{version:016x}".encode()


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all those with `prefix`, which must not be empty or end with 0xff.

    Source: etcd API, "Key ranges": a prefix is the range [prefix, prefix with its last byte plus one).
    """
    if not prefix or prefix[-1] == 0xFF:
        raise ValueError("the prefix has no end of this form")
    return prefix[:-1] + bytes([prefix[-1] + 1])
