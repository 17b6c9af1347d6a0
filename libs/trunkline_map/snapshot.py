"""The map at one revision: immutable, swapped by reference, read without locks and without waiting.

Structure. Tenants are spread over 256 plain dicts by hash; each tenant's view holds its entry, its policy pointer and
a dict of its collections. A lookup is two or three dict reads. A batch of changes copies the touched buckets and the
touched tenants' own dicts once, and shares everything else with the snapshot before. One dict over all of 100,000
tenants would cost about 1 ms of copying for each batch, which blocks the event loop; its 256th part costs microseconds.
A persistent tree would copy less still, and make every lookup, by far the most frequent operation, many times slower.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from trunkline_map import token
from trunkline_map.entries import (
    CollectionEntry,
    Entry,
    EpochEntry,
    PolicyPointer,
    RegionEntry,
    RegionState,
    SpaceEntry,
    TenantEntry,
)
from trunkline_map.keys import Kind, MapKey

__all__ = [
    "EMPTY_MAP",
    "Change",
    "CollectionEntry",
    "Entry",
    "MapSnapshot",
    "PolicyPointer",
    "RegionEntry",
    "RegionState",
    "SnapshotBuilder",
    "SpaceEntry",
    "TenantEntry",
]

_BUCKETS: Final = 256
_MASK: Final = _BUCKETS - 1


@dataclass(frozen=True, slots=True)
class Change:
    """One key's new state."""

    key: MapKey
    entry: Entry | None
    """None removes it."""


class _TenantView:
    """Everything of one tenant. Never changed after it was built, except for the sorted list that is made on demand."""

    __slots__ = ("_listed", "by_id", "entry", "policy")

    def __init__(
        self, entry: TenantEntry | None, policy: PolicyPointer | None, by_id: Mapping[str, CollectionEntry]
    ) -> None:
        self.entry = entry
        self.policy = policy
        self.by_id = by_id
        self._listed: tuple[CollectionEntry, ...] | None = None

    @property
    def listed(self) -> tuple[CollectionEntry, ...]:
        """Return the collections in the order of their names."""
        if self._listed is None:
            self._listed = tuple(sorted(self.by_id.values(), key=lambda entry: entry.collection_id))
        return self._listed


class MapSnapshot:
    """All placements at one revision. Build one with `SnapshotBuilder` or from another with `applying`."""

    __slots__ = ("_buckets", "_regions", "_spaces", "_token", "epoch", "revision")

    def __init__(
        self,
        *,
        epoch: bytes,
        revision: int,
        regions: Mapping[str, RegionEntry],
        spaces: Mapping[str, SpaceEntry],
        buckets: tuple[dict[str, _TenantView], ...],
    ) -> None:
        """Keep what the builder made; nothing is copied."""
        self.epoch: Final = epoch
        self.revision: Final = revision
        self._regions: Final = regions
        self._spaces: Final = spaces
        self._buckets: Final = buckets
        # Every answer carries it, so it is made once.
        self._token: Final = token.encode(epoch, revision) if epoch else b""

    @property
    def token(self) -> bytes:
        """Map token of this state; empty before the map has an epoch."""
        return self._token

    def region(self, region_id: str) -> RegionEntry | None:
        """Return the region, or None."""
        return self._regions.get(region_id)

    def regions(self) -> tuple[RegionEntry, ...]:
        """Return all regions in the order of their names."""
        return tuple(self._regions[name] for name in sorted(self._regions))

    def space(self, space_id: str) -> SpaceEntry | None:
        """Return the embedding space, or None."""
        return self._spaces.get(space_id)

    def spaces(self) -> tuple[SpaceEntry, ...]:
        """Return all spaces in the order of their names."""
        return tuple(self._spaces[name] for name in sorted(self._spaces))

    def tenant(self, tenant_id: str) -> TenantEntry | None:
        """Return the tenant, or None."""
        view = self._buckets[hash(tenant_id) & _MASK].get(tenant_id)
        return None if view is None else view.entry

    def tenants(self) -> Iterator[TenantEntry]:
        """Yield all tenants, in no order."""
        for bucket in self._buckets:
            for view in bucket.values():
                if view.entry is not None:
                    yield view.entry

    def policy(self, tenant_id: str) -> PolicyPointer | None:
        """Return where the tenant's policy lies, or None."""
        view = self._buckets[hash(tenant_id) & _MASK].get(tenant_id)
        return None if view is None else view.policy

    def collection(self, tenant_id: str, collection_id: str) -> CollectionEntry | None:
        """Return the tenant's collection, or None."""
        view = self._buckets[hash(tenant_id) & _MASK].get(tenant_id)
        return None if view is None else view.by_id.get(collection_id)

    def collections_of(self, tenant_id: str) -> tuple[CollectionEntry, ...]:
        """Return all collections of the tenant in the order of their names."""
        view = self._buckets[hash(tenant_id) & _MASK].get(tenant_id)
        return () if view is None else view.listed

    def entry(self, key: MapKey) -> Entry | None:
        """Return whatever the key holds, or None."""
        match key.kind:
            case Kind.COLLECTION:
                return self.collection(key.name, key.collection_id)
            case Kind.EPOCH:
                return EpochEntry(self.epoch) if self.epoch else None
            case Kind.REGION:
                return self.region(key.name)
            case Kind.SPACE:
                return self.space(key.name)
            case Kind.TENANT:
                return self.tenant(key.name)
            case Kind.POLICY:
                return self.policy(key.name)

    def entries(self) -> Iterator[Entry]:
        """Yield every entry but the epoch, in no order."""
        yield from self._regions.values()
        yield from self._spaces.values()
        for bucket in self._buckets:
            for view in bucket.values():
                if view.entry is not None:
                    yield view.entry
                if view.policy is not None:
                    yield view.policy
                yield from view.by_id.values()

    def applying(self, changes: Iterable[Change], *, revision: int) -> MapSnapshot:
        """Return the map after `changes`, in their order, at `revision`. Copies only what they touch, once each."""
        builder = SnapshotBuilder(self)
        for change in changes:
            builder.apply(change)
        return builder.build(revision)


class _Draft:
    """One tenant's view while it is being changed."""

    __slots__ = ("by_id", "entry", "policy")

    def __init__(self, view: _TenantView | None) -> None:
        self.entry = None if view is None else view.entry
        self.policy = None if view is None else view.policy
        self.by_id: dict[str, CollectionEntry] = {} if view is None else dict(view.by_id)

    def finish(self) -> _TenantView | None:
        """Return the view, or None if nothing is left in it."""
        if self.entry is None and self.policy is None and not self.by_id:
            return None
        return _TenantView(self.entry, self.policy, self.by_id)


class SnapshotBuilder:
    """Collects changes upon a snapshot. Used once: `build` hands over what it holds."""

    def __init__(self, base: MapSnapshot | None = None) -> None:
        """Start from `base`, or from nothing."""
        base = EMPTY_MAP if base is None else base
        self._base = base
        self.epoch = base.epoch
        self._regions = dict(base._regions)  # noqa: SLF001 - builder and snapshot are one unit in one file
        self._spaces = dict(base._spaces)  # noqa: SLF001 - as above
        self._drafts: dict[str, _Draft] = {}

    def apply(self, change: Change) -> None:
        """Take one change; a later one of the same key wins."""
        if change.entry is None:
            self.remove(change.key)
        else:
            self.put(change.entry)

    def put(self, entry: Entry) -> None:
        """Add or replace an entry."""
        match entry:
            case CollectionEntry():
                self._draft(entry.tenant_id).by_id[entry.collection_id] = entry
            case TenantEntry():
                self._draft(entry.tenant_id).entry = entry
            case PolicyPointer():
                self._draft(entry.tenant_id).policy = entry
            case RegionEntry():
                self._regions[entry.region_id] = entry
            case SpaceEntry():
                self._spaces[entry.space_id] = entry
            case EpochEntry():
                self.epoch = entry.epoch

    def remove(self, key: MapKey) -> None:
        """Remove an entry if it is there."""
        match key.kind:
            case Kind.COLLECTION:
                self._draft(key.name).by_id.pop(key.collection_id, None)
            case Kind.TENANT:
                self._draft(key.name).entry = None
            case Kind.POLICY:
                self._draft(key.name).policy = None
            case Kind.REGION:
                self._regions.pop(key.name, None)
            case Kind.SPACE:
                self._spaces.pop(key.name, None)
            case Kind.EPOCH:
                self.epoch = b""

    def build(self, revision: int) -> MapSnapshot:
        """Return the snapshot at `revision`."""
        buckets = list(self._base._buckets)  # noqa: SLF001 - as above
        owned: set[int] = set()
        for tenant_id, draft in self._drafts.items():
            index = hash(tenant_id) & _MASK
            if index not in owned:
                owned.add(index)
                buckets[index] = dict(buckets[index])
            view = draft.finish()
            if view is None:
                buckets[index].pop(tenant_id, None)
            else:
                buckets[index][tenant_id] = view
        return MapSnapshot(
            epoch=self.epoch, revision=revision, regions=self._regions, spaces=self._spaces, buckets=tuple(buckets)
        )

    def _draft(self, tenant_id: str) -> _Draft:
        draft = self._drafts.get(tenant_id)
        if draft is None:
            view = self._base._buckets[hash(tenant_id) & _MASK].get(tenant_id)  # noqa: SLF001 - as above
            draft = self._drafts[tenant_id] = _Draft(view)
        return draft


EMPTY_MAP: Final = MapSnapshot(epoch=b"", revision=0, regions={}, spaces={}, buckets=tuple({} for _ in range(_BUCKETS)))
"""A map without entries; never served."""
