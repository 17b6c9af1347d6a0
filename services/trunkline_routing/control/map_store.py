"""Reads and writes of the map for use cases: typed entries, one revision, compare-and-set on everything that was read.

Rule: a change is committed only if every entry that its decision read is unchanged at the write, the epoch included.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from google.protobuf.message import DecodeError

from trunkline_map import records, token
from trunkline_map.entries import Entry, EpochEntry
from trunkline_map.keys import EPOCH_KEY, MapKey
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_map.store import KeyValue, KeyValueStore, StoreUnavailableError, Transaction, Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Internal, MapNotReady, MapUnwritable, RevisionConflict
from trunkline_routing.control.errors import unreachable

CALL_TIMEOUT_S: Final = 3.0
"""Bound of one call to the control store, within the request's deadline."""

CALL_SHARE: Final = 0.5
"""A call gets at most this share of the time that is left, so that the last good map can still answer in time when the
store does not."""

MAX_ATTEMPTS: Final = 3
"""A decision is made anew so often when what it read changed under it."""

_EPOCH: Final = EPOCH_KEY.encode()
_E = TypeVar("_E", bound=Entry)


class MapState:
    """Several entries at one revision."""

    def __init__(self, *, epoch: bytes, revision: int, raw: Mapping[bytes, KeyValue], asked: Sequence[bytes]) -> None:
        """Hold what the store answered to `asked`."""
        self.epoch: Final = epoch
        self.revision: Final = revision
        self.raw: Final = raw
        self.asked: Final = asked

    @property
    def token(self) -> bytes:
        """Map token of the state that was read."""
        return token.encode(self.epoch, self.revision)

    def entry(self, key: MapKey, kind: type[_E]) -> _E | None:
        """Return an entry that was asked for, or None. Raises Internal for a value that cannot be read."""
        item = self.raw.get(key.encode())
        if item is None:
            return None
        try:
            entry = records.decode(key, item.value, item.mod_revision)
        except records.MalformedRecordError as exc:
            raise Internal("a stored entry cannot be read; remove it and write it anew") from exc
        assert isinstance(entry, kind)
        return entry

    def revision_of(self, key: MapKey) -> int:
        """Return the entry's revision, 0 if there is none; works for malformed ones, too."""
        item = self.raw.get(key.encode())
        return 0 if item is None else item.mod_revision

    def require_revision(self, key: MapKey, given: int) -> None:
        """Raise RevisionConflict unless `given` is the entry's current revision; 0 means that there must be none."""
        current = self.revision_of(key)
        if given != current:
            raise RevisionConflict(metadata={"currentRevision": str(current), "givenRevision": str(given)})


@dataclass(frozen=True, slots=True)
class Plan:
    """What a decision wants to change."""

    puts: Sequence[Entry] = ()
    deletes: Sequence[MapKey] = ()
    unchanged: Sequence[Unchanged] = ()
    """Folders in which nothing may have been put since the decision looked at them."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change that was made."""

    revision: int
    token: bytes
    """Send it along to read the change anywhere."""


class MapStore:
    """The map in etcd, with the watched map standing in for reads when etcd is away."""

    def __init__(self, store: KeyValueStore, last_good: MapSource) -> None:
        """Write to `store`; read from `last_good` only when it does not answer."""
        self.kv: Final = store
        self._last_good = last_good

    async def read(self, keys: Sequence[MapKey], deadline: Deadline) -> MapState | MapSnapshot:
        """Return entries as the store has them now, or the last good map if it cannot be reached.

        Raises MapUnwritable if there is no such map either, and DeadlineExceeded.
        """
        try:
            return await self.read_live(keys, deadline)
        except MapUnwritable:
            return self.last_good(deadline)

    async def read_live(self, keys: Sequence[MapKey], deadline: Deadline) -> MapState:
        """Return entries as the store has them now; raise MapUnwritable if it cannot be reached."""
        asked = [_EPOCH, *(key.encode() for key in keys)]
        for _ in range(MAX_ATTEMPTS):
            try:
                found = await self.kv.read(asked, timeout_s=call_timeout_s(deadline))
            except StoreUnavailableError as exc:
                raise unreachable() from exc
            item = found.items.get(_EPOCH)
            if item is not None:
                return MapState(epoch=_epoch_of(item), revision=found.revision, raw=found.items, asked=asked)
            await self._write_epoch(deadline)
        raise Internal("the map's epoch cannot be written")

    def last_good(self, deadline: Deadline) -> MapSnapshot:
        """Return the watched map, with which reads go on; raise MapUnwritable without one."""
        deadline.require()
        try:
            return self._last_good.snapshot
        except MapNotReady as exc:
            raise unreachable() from exc

    async def change(
        self, keys: Sequence[MapKey], decide: Callable[[MapState], Awaitable[Plan]], deadline: Deadline
    ) -> Change:
        """Read `keys`, let `decide` plan upon them, and commit if all of them are unchanged; else decide anew.

        Raises what `decide` raises, RevisionConflict if it was overtaken 3 times, and MapUnwritable.
        """
        for _ in range(MAX_ATTEMPTS):
            state = await self.read_live(keys, deadline)
            plan = await decide(state)
            commit = await self.kv.commit(_transaction(state, plan), timeout_s=call_timeout_s(deadline))
            if commit.applied:
                return Change(commit.revision, token.encode(state.epoch, commit.revision))
        raise RevisionConflict("the entries that this change relies on are changing; try again")

    async def _write_epoch(self, deadline: Deadline) -> None:
        """Create the epoch if nobody has: compare-and-set, so that of several controls one wins."""
        entry = EpochEntry(os.urandom(token.EPOCH_BYTES))
        transaction = Transaction(compares={_EPOCH: 0}, puts={_EPOCH: records.encode(entry)})
        await self.kv.commit(transaction, timeout_s=call_timeout_s(deadline))

    async def ensure_epoch(self, deadline: Deadline) -> bytes:
        """Return the map's epoch, creating it if the store is new. Raises MapUnwritable."""
        return (await self.read_live((), deadline)).epoch


def call_timeout_s(deadline: Deadline) -> float:
    """Return the bound of one call; raise DeadlineExceeded if no time is left for it."""
    return min(CALL_TIMEOUT_S, deadline.require() * CALL_SHARE)


def entry_of(state: MapState | MapSnapshot, key: MapKey, kind: type[_E]) -> _E | None:
    """Return an entry from whichever answered."""
    if isinstance(state, MapState):
        return state.entry(key, kind)
    entry = state.entry(key)
    assert entry is None or isinstance(entry, kind)
    return entry


def written(entry: _E, change: Change) -> _E:
    """Return the entry with the revision that the change gave it."""
    return replace(entry, revision=change.revision)


def _transaction(state: MapState, plan: Plan) -> Transaction:
    return Transaction(
        compares={key: state.raw[key].mod_revision if key in state.raw else 0 for key in state.asked},
        unchanged=plan.unchanged,
        puts=dict(_encoded(state, plan.puts)),
        deletes=[key.encode() for key in plan.deletes],
    )


def _encoded(state: MapState, puts: Sequence[Entry]) -> Iterator[tuple[bytes, bytes]]:
    """Yield records upon the stored ones, so that fields of newer versions survive."""
    for entry in puts:
        key = entry.key.encode()
        stored = state.raw[key].value if key in state.raw else b""
        try:
            yield key, records.encode(entry, stored)
        except DecodeError:
            yield key, records.encode(entry)  # what is no message has no fields to keep


def _epoch_of(item: KeyValue) -> bytes:
    try:
        entry = records.decode(EPOCH_KEY, item.value, item.mod_revision)
    except records.MalformedRecordError as exc:
        raise Internal("the map's epoch cannot be read") from exc
    assert isinstance(entry, EpochEntry)
    return entry.epoch
