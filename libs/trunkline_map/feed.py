"""The map as listings and events make it. Pure: no I/O, no clock, so its laws can be tested.

Laws: applying the events after a listing gives what a later listing gives; an event at or before the feed's revision
changes nothing; a malformed value changes nothing but the count of malformed ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from trunkline_map.entries import Entry, EpochEntry
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.records import MalformedRecordError, decode
from trunkline_map.snapshot import EMPTY_MAP, Change, MapSnapshot, SnapshotBuilder
from trunkline_map.store import Event, KeyValue
from trunkline_mesh.logs import get_logger, tenant_hash

_log = get_logger(__name__)

_EPOCH = EPOCH_KEY.encode()
_TENANTS_OWN = frozenset({Kind.TENANT, Kind.POLICY, Kind.COLLECTION})


class MapFeed:
    """The snapshot, and what is needed to go on from it."""

    def __init__(self) -> None:
        """Start empty, at revision 0."""
        self.snapshot: MapSnapshot = EMPTY_MAP
        self.revisions: dict[bytes, int] = {}
        """`mod_revision` of every key under the prefix, also of those that this version does not know."""
        self.malformed: dict[bytes, int] = {}
        """Keys whose present value could not be read, with its revision."""
        self._deleted: dict[bytes, int] | None = None

    @property
    def revision(self) -> int:
        """Every change up to here is in; a watch resumes after it."""
        return self.snapshot.revision

    def apply(self, events: Sequence[Event]) -> None:
        """Take whole revisions of events, in order. Events of revisions that are in already are ignored."""
        fresh = [event for event in events if event.mod_revision > self.revision]
        if not fresh:
            return
        changes = [change for event in fresh if (change := self._change_of(event)) is not None]
        self.snapshot = self.snapshot.applying(changes, revision=fresh[-1].mod_revision)

    def advance(self, revision: int) -> None:
        """Learn that nothing else changed up to `revision`."""
        if revision > self.revision:
            self.snapshot = self.snapshot.applying((), revision=revision)

    def replace(self, listing: Listing, revision: int) -> None:
        """Take a complete listing at `revision`; keys that it lacks are gone."""
        self.snapshot = listing.build(revision)
        self.revisions = listing.revisions
        self.malformed = listing.malformed

    @contextmanager
    def remembering_deletes(self) -> Iterator[None]:
        """Remember deletes for `differs`, which must tell an early delete from a missed put."""
        self._deleted = {}
        try:
            yield
        finally:
            self._deleted = None

    def differs(self, key: bytes, listed: Mapping[bytes, int], at_revision: int) -> bool:
        """Return True if the feed and a listing at `at_revision` disagree on a key, later events aside."""
        ours = self.revisions.get(key, 0)
        if ours == listed.get(key, 0) or ours > at_revision:
            return False
        return (self._deleted or {}).get(key, 0) <= at_revision

    def same_epoch(self, item: KeyValue | None) -> bool:
        """Return True if the store's epoch is the feed's. Its bytes count: two histories may share revisions."""
        if item is None:
            return not self.snapshot.epoch
        entry = read_entry(EPOCH_KEY, item.value, item.mod_revision)
        return entry is None or (isinstance(entry, EpochEntry) and entry.epoch == self.snapshot.epoch)

    def new_history(self, events: Sequence[Event]) -> bool:
        """Return True if the map's epoch becomes another one: all that the feed has may belong to a lost history."""
        return bool(self.snapshot.epoch) and any(
            event.key == _EPOCH
            and event.mod_revision > self.revision
            and (event.value is None or not self.same_epoch(KeyValue(event.key, event.value, event.mod_revision)))
            for event in events
        )

    def _change_of(self, event: Event) -> Change | None:
        self.malformed.pop(event.key, None)
        key = MapKey.parse(event.key)
        if event.value is None:
            self.revisions.pop(event.key, None)
            if self._deleted is not None:
                self._deleted[event.key] = event.mod_revision
            return None if key is None else Change(key, None)
        self.revisions[event.key] = event.mod_revision
        if key is None:
            return None
        entry = read_entry(key, event.value, event.mod_revision)
        if entry is None:
            self.malformed[event.key] = event.mod_revision
            return None
        return Change(key, entry)


class Listing:
    """Collects the pages of a listing; `MapFeed.replace` takes it. Pages may be added in another thread."""

    def __init__(self, before: MapSnapshot, *, reuse: bool = False) -> None:
        """Keep `before`, whose entries stand in for values that cannot be read.

        With `reuse`, its entries also serve for keys that did not change since, which saves reading them again. That
        holds within one history only: see `foreign`.
        """
        self.revisions: dict[bytes, int] = {}
        self.malformed: dict[bytes, int] = {}
        self.decoded = 0
        """Entries that were read from their values."""
        self._before = before
        self._reuse = reuse
        self._builder = SnapshotBuilder()
        self._built: MapSnapshot | None = None

    def add(self, items: Iterable[KeyValue]) -> None:
        """Take one page."""
        revisions, before, put = self.revisions, self._before, self._builder.put
        for raw, value, revision in items:
            revisions[raw] = revision
            key = MapKey.parse(raw)
            if key is None:
                continue
            entry = before.entry(key) if self._reuse else None
            if entry is None or entry.revision != revision:
                self.decoded += 1
                entry = read_entry(key, value, revision)
                if entry is None:
                    self.malformed[raw] = revision
                    entry = before.entry(key)
            if entry is not None:
                put(entry)

    def foreign(self) -> bool:
        """Return True if the listing is of another history than entries that it reused."""
        return self._reuse and self._builder.epoch != self._before.epoch

    def build(self, revision: int) -> MapSnapshot:
        """Return the listed map; built once. For a large map, call it in a thread first: it takes a while."""
        if self._built is None:
            self._built = self._builder.build(revision)
        return self._built


def read_entry(key: MapKey, value: bytes, revision: int) -> Entry | None:
    """Return the entry; None, and a line in the log, if it is malformed. Tenants are hashed there, values left out."""
    try:
        return decode(key, value, revision)
    except MalformedRecordError:
        named = {"tenant_hash": tenant_hash(key.name)} if key.kind in _TENANTS_OWN else {"key": key.name}
        _log.error(
            "malformed map entry is kept out",
            name=key.kind.value,
            collection=key.collection_id,
            revision=revision,
            **named,
        )
        return None
