"""Names of the map's keys. All lie under one prefix, so one watch sees every change in order."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple, Self

PREFIX: Final = b"/trunkline/v1/"
"""Everything that Trunkline keeps in etcd."""


class Kind(StrEnum):
    """What a key holds; the value is its folder."""

    EPOCH = "epoch"
    REGION = "regions"
    TENANT = "tenants"
    SPACE = "spaces"
    COLLECTION = "collections"
    POLICY = "policies"


_KINDS: Final = {kind.value: kind for kind in Kind}


class MapKey(NamedTuple):
    """One key of the map. Ids are not checked here: control checks what it writes, records check what is read."""

    kind: Kind
    name: str = ""
    """Region, tenant or space; empty for the epoch."""
    collection_id: str = ""
    """The collection in its tenant, for collections only."""

    def encode(self) -> bytes:
        """Return the key as etcd holds it."""
        parts = (self.kind.value, self.name, self.collection_id)
        return PREFIX + "/".join(part for part in parts if part).encode()

    @classmethod
    def parse(cls, raw: bytes) -> Self | None:
        """Return the key, or None for one that this version does not know, such as a migration's."""
        if not raw.startswith(PREFIX):
            return None
        try:
            parts = raw[len(PREFIX) :].decode().split("/")
        except UnicodeDecodeError:
            return None
        kind = _KINDS.get(parts[0])
        if kind is None or not all(parts) or len(parts) != _PARTS[kind]:
            return None
        return cls(kind, *parts[1:])


_PARTS: Final = dict.fromkeys(Kind, 2) | {Kind.EPOCH: 1, Kind.COLLECTION: 3}

EPOCH_KEY: Final = MapKey(Kind.EPOCH)


def folder(kind: Kind, tenant_id: str = "") -> bytes:
    """Return the prefix of all keys of a kind, or of one tenant's collections. It ends with a slash, so that
    tenant `a` never covers tenant `ab`.
    """
    within = f"{tenant_id}/" if tenant_id else ""
    return PREFIX + f"{kind.value}/{within}".encode()


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all those with `prefix`, which must not be empty or end with 0xff.

    Source: etcd API, "Key ranges": a prefix is the range [prefix, prefix with its last byte plus one).
    """
    if not prefix or prefix[-1] == 0xFF:
        raise ValueError("the prefix has no end of this form")
    return prefix[:-1] + bytes([prefix[-1] + 1])
