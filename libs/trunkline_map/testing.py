"""A map without etcd, for unit tests and benches: the watcher's surface over entries that the caller gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from trunkline_map.entries import (
    CollectionEntry,
    Entry,
    EpochEntry,
    PolicyPointer,
    Preference,
    RegionEntry,
    RegionState,
    SpaceEntry,
    StoreEntry,
    TenantEntry,
)
from trunkline_map.keys import MapKey
from trunkline_map.snapshot import Change, MapSnapshot, SnapshotBuilder
from trunkline_map.source import MapHolder

TEST_EPOCH: Final = b"\x01testing"
"""Epoch of static maps."""


class StaticMap(MapHolder):
    """A `MapSource` that changes only by `put`, `remove` and `publish`."""

    age: float = 0.0
    """What `age_s` tells; set it to play a lost control store."""
    fed: bool = True
    """What `connected` tells."""

    def age_s(self) -> float:
        """Return `age`."""
        return self.age

    def connected(self) -> bool:
        """Return `fed`."""
        return self.fed

    def put(self, *entries: Entry) -> bytes:
        """Add or replace entries at the next revision; return its map token."""
        return self._apply([Change(entry.key, entry) for entry in entries])

    def remove(self, *keys: MapKey) -> bytes:
        """Remove entries at the next revision; return its map token."""
        return self._apply([Change(key, None) for key in keys])

    def _apply(self, changes: Iterable[Change]) -> bytes:
        current = self.snapshot
        self.publish(current.applying(changes, revision=current.revision + 1))
        return self.snapshot.token


def static_map(*entries: Entry, epoch: bytes = TEST_EPOCH, revision: int = 1) -> StaticMap:
    """Return a map that holds `entries` at `revision`."""
    return StaticMap(static_snapshot(*entries, epoch=epoch, revision=revision))


def static_snapshot(*entries: Entry, epoch: bytes = TEST_EPOCH, revision: int = 1) -> MapSnapshot:
    """Return a snapshot that holds `entries`."""
    builder = SnapshotBuilder()
    builder.put(EpochEntry(epoch))
    for entry in entries:
        builder.put(entry)
    return builder.build(revision)


def region(
    region_id: str,
    jurisdiction: str,
    *,
    state: RegionState = RegionState.SERVING,
    stores: Iterable[StoreEntry] = (),
    **endpoints: str,
) -> RegionEntry:
    """Return a region; endpoints by kind, for example `retrieval="127.0.0.1:7001"`, several separated by commas."""
    lists: dict[str, Any] = {f"{kind}_endpoints": tuple(text.split(",")) for kind, text in endpoints.items()}
    return RegionEntry(
        region_id=region_id, jurisdiction=jurisdiction, state=state, stores=tuple(stores), revision=1, **lists
    )


def tenant(tenant_id: str, *jurisdictions: str, tier: str = "pro", suspended: bool = False) -> TenantEntry:
    """Return a tenant of the jurisdictions."""
    return TenantEntry(
        tenant_id=tenant_id, tier=tier, jurisdictions=frozenset(jurisdictions), suspended=suspended, revision=1
    )


def space(
    space_id: str = "minilm", *, model_id: str = "minilm", model_revision: str = "1", dimension: int = 384
) -> SpaceEntry:
    """Return an embedding space."""
    return SpaceEntry(
        space_id=space_id, model_id=model_id, model_revision=model_revision, dimension=dimension, revision=1
    )


def collection(
    tenant_id: str,
    collection_id: str,
    placement: Iterable[str],
    jurisdictions: Iterable[str],
    *,
    space_id: str = "minilm",
    dedicated: bool = False,
    shard: int = 0,
    description: str = "",
    cluster: bool = False,
    preference: Preference = Preference.NEAREST,
    region_stores: Mapping[str, str] = MappingProxyType({}),
) -> CollectionEntry:
    """Return a collection; `placement` names regions, primary first."""
    return CollectionEntry(
        tenant_id=tenant_id,
        collection_id=collection_id,
        space_id=space_id,
        placement=tuple(placement),
        jurisdictions=frozenset(jurisdictions),
        dedicated=dedicated or cluster,
        shard=shard,
        description=description,
        cluster=cluster,
        preference=preference,
        region_stores=tuple(sorted(region_stores.items())),
        revision=1,
    )


def policy(
    tenant_id: str, *jurisdictions: str, digest: str = "0" * 64, version: int = 1, size_bytes: int = 1
) -> PolicyPointer:
    """Return a policy pointer."""
    return PolicyPointer(
        tenant_id=tenant_id,
        version=version,
        digest=digest,
        jurisdictions=frozenset(jurisdictions),
        size_bytes=size_bytes,
        revision=1,
    )
