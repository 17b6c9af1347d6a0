"""What a decision reads and what it wants: entries at one revision, and the plan upon them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from trunkline_map import records, token
from trunkline_map.entries import CollectionEntry, Entry, RegionEntry
from trunkline_map.keys import CONTROL_PREFIX, Kind, MapKey
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.store import KeyValue, Unchanged
from trunkline_mesh.errors import DomainError, Internal, RevisionConflict

_E = TypeVar("_E", bound=Entry)

PLACEMENTS_FENCE: Final = CONTROL_PREFIX + b"fences/collections"
"""Written by every transaction that puts a collection, so that its `mod_revision` tells when the last one was put.

A condition on the folder itself would say the same; but etcd reads the whole folder for it while everybody waits, some
0.2 s for 30,000 collections. What is put into etcd by hand does not raise it.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision wants to change. An empty one changes nothing, and is no error."""

    puts: Sequence[Entry] = ()
    deletes: Sequence[MapKey] = ()
    unchanged: Sequence[Unchanged] = ()
    """Folders in which nothing may have been put since the decision looked at them."""
    control_puts: Mapping[bytes, bytes] = field(default_factory=dict)
    """Keys of the control role's own, outside of the map, that are written along."""
    control_deletes: Sequence[bytes] = ()
    """Those that go; one that is not there is no error."""
    restores: bool = False
    """True if it brings back what was before: a roll back."""


class MapState:
    """Several entries at one revision, and upon them what earlier changes of the same transaction want."""

    def __init__(self, *, epoch: bytes, revision: int, raw: Mapping[bytes, KeyValue], asked: Sequence[bytes]) -> None:
        """Hold what the store answered to `asked`."""
        self.overtaken = False
        """True if a decision upon an earlier state was overtaken: what it looked at besides was too old."""
        self.epoch: Final = epoch
        self.revision: Final = revision
        self.raw: Final = raw
        self.asked: Final = asked
        self._pending: dict[MapKey, Entry | None] = {}

    @property
    def token(self) -> bytes:
        """Map token of the state that was read."""
        return token.encode(self.epoch, self.revision)

    def entry(self, key: MapKey, kind: type[_E]) -> _E | None:
        """Return an entry that was asked for, or None. Raises Internal for a value that cannot be read."""
        entry = self._pending[key] if key in self._pending else self._stored(key)
        assert entry is None or isinstance(entry, kind)
        return entry

    def readable(self, key: MapKey) -> Entry | None:
        """Return an entry as `entry` does; None also for one that was not asked for or cannot be read."""
        if key in self._pending:
            return self._pending[key]
        try:
            return self._stored(key)
        except Internal:
            return None

    def revision_of(self, key: MapKey) -> int:
        """Return the stored entry's revision, 0 if there is none; works for malformed ones, too."""
        item = self.raw.get(key.encode())
        return 0 if item is None else item.mod_revision

    def require_revision(self, key: MapKey, given: int) -> None:
        """Raise RevisionConflict unless `given` is the entry's current revision; 0 means that there must be none."""
        current = self.revision_of(key)
        if given != current:
            raise RevisionConflict(metadata={"currentRevision": str(current), "givenRevision": str(given)})

    def take(self, plan: Plan) -> None:
        """Let later decisions of the same transaction see what this one wants."""
        for entry in plan.puts:
            self._pending[entry.key] = entry
        for key in plan.deletes:
            self._pending[key] = None

    def pending_collections(self, tenant_id: str = "") -> Mapping[MapKey, CollectionEntry | None]:
        """Return collections that this transaction puts, or removes (None), of one tenant or of all."""
        return {
            key: entry
            for key, entry in self._pending.items()
            if key.kind is Kind.COLLECTION
            and (not tenant_id or key.name == tenant_id)
            and (entry is None or isinstance(entry, CollectionEntry))
        }

    def pending_regions(self) -> Mapping[str, RegionEntry | None]:
        """Return regions that this transaction puts, or removes (None), by name."""
        return {
            key.name: entry
            for key, entry in self._pending.items()
            if key.kind is Kind.REGION and (entry is None or isinstance(entry, RegionEntry))
        }

    def _stored(self, key: MapKey) -> Entry | None:
        item = self.raw.get(key.encode())
        if item is None:
            return None
        try:
            return records.decode(key, item.value, item.mod_revision)
        except records.MalformedRecordError as exc:
            raise Internal("a stored entry cannot be read; remove it and write it anew") from exc


@dataclass(frozen=True, slots=True)
class Prepared:
    """One entry's change, not made yet: `MapStore.change` makes several of distinct entries together."""

    name: MapKey
    """The entry that it changes."""
    keys: Sequence[MapKey]
    """Everything that the decision reads, the entry included; all of it is unchanged at the write."""
    decide: Callable[[MapState], Awaitable[Plan]]
    """Checks the change upon a state and says what to write. Called anew for every attempt."""


@dataclass(frozen=True, slots=True)
class ControlChange:
    """Keys of the control role's own, outside of the map, that change in the same transaction."""

    compares: Mapping[bytes, int] = field(default_factory=dict)
    """Key to the `mod_revision` that it must have; 0 for a key that must not exist."""
    puts: Mapping[bytes, bytes] = field(default_factory=dict)
    deletes: Sequence[bytes] = ()
    conflict: Callable[[], DomainError] = RevisionConflict
    """What to raise where a comparison does not hold."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was made, or in a dry run would have been."""

    revision: int
    """Of the change; in a dry run, and where nothing had to change, of the state that it was checked against."""
    token: bytes
    """Send it along to read the change anywhere."""
    entries: Mapping[MapKey, Entry] = field(default_factory=dict)
    """What was put, with its new revision; in a dry run with the one that it had."""

    def entry(self, key: MapKey, kind: type[_E]) -> _E | None:
        """Return an entry that was put, or None."""
        entry = self.entries.get(key)
        assert entry is None or isinstance(entry, kind)
        return entry


def merged(plans: Sequence[Plan]) -> Plan:
    """Return the plans as one."""
    return Plan(
        puts=[entry for plan in plans for entry in plan.puts],
        deletes=[key for plan in plans for key in plan.deletes],
        unchanged=list(dict.fromkeys(condition for plan in plans for condition in plan.unchanged)),
        control_puts={key: value for plan in plans for key, value in plan.control_puts.items()},
        control_deletes=[key for plan in plans for key in plan.control_deletes],
    )


def made(plan: Plan, *, revision: int, map_token: bytes, committed: bool) -> Change:
    """Return the plan's change as the caller is told of it."""
    entries = (replace(entry, revision=revision) if committed else entry for entry in plan.puts)
    return Change(revision, map_token, {entry.key: entry for entry in entries})


def entry_of(state: MapState | MapSnapshot, key: MapKey, kind: type[_E]) -> _E | None:
    """Return an entry from whichever answered."""
    if isinstance(state, MapState):
        return state.entry(key, kind)
    entry = state.entry(key)
    assert entry is None or isinstance(entry, kind)
    return entry


def distinct(keys: Iterator[bytes]) -> list[bytes]:
    """Return the keys without repeats, in their order."""
    return list(dict.fromkeys(keys))
