"""Use case: many changes in batches. Each is applied as a whole, once, and noted in the transaction that applies it.

The note makes a repeat harmless: the last batch is known by its digest. It also tells one that was stopped where to go
on. Entries are checked as their own methods check them, because it is their own decisions that are made together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map import token
from trunkline_map.entries import CollectionEntry, RegionEntry, SpaceEntry, TenantEntry
from trunkline_map.keys import Kind, MapKey, import_key
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, ImportOutOfOrder, ImportUnknown
from trunkline_routing.control.collection_map import Collections
from trunkline_routing.control.how import How
from trunkline_routing.control.import_notes import ImportNotes, Noted
from trunkline_routing.control.map_state import ControlChange, MapState, Plan, Prepared
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.regions import Regions
from trunkline_routing.control.spaces import Spaces
from trunkline_routing.control.tenants import Tenants

MAX_ATTEMPTS: Final = 3
"""A batch whose note changed under it is looked at so often: it may have been applied meanwhile by a repeat."""

Put: TypeAlias = RegionEntry | SpaceEntry | TenantEntry | CollectionEntry


@dataclass(frozen=True, slots=True)
class Removal:
    """An entry that goes."""

    key: MapKey
    revision: int
    """That must be current; 0 for whatever is there."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch of an import."""

    import_id: str
    number: int
    """1 for the first one."""
    changes: Sequence[Put | Removal]
    digest: bytes
    """Of what the caller sent, to know a repeat."""


class _NoteChangedError(ImportOutOfOrder):
    """Another batch of this import was applied in between. Told to callers as what it is a kind of."""


class Imports:
    """Imports of the map. All methods raise MapUnwritable and DeadlineExceeded."""

    def __init__(
        self, maps: MapStore, regions: Regions, spaces: Spaces, tenants: Tenants, collections: Collections
    ) -> None:
        """Write to `maps` what the use cases of each kind decide."""
        self._maps = maps
        self._regions = regions
        self._spaces = spaces
        self._tenants = tenants
        self._collections = collections
        self._notes = ImportNotes(maps)

    async def apply(self, batch: Batch, how: How, deadline: Deadline) -> bytes:
        """Apply a batch, or do nothing if it is the last one again; return the token of the state that it made.

        In a dry run everything is checked, nothing is written, and the token is that of the state before. Raises
        ImportOutOfOrder, and what the methods of each entry raise, with the metadata's `entry` naming it.
        """
        noted = await self._notes.of(batch.import_id, deadline)
        for attempts_left in range(MAX_ATTEMPTS - 1, -1, -1):
            repeated = await self._repeated(batch, noted, deadline)
            if repeated:
                return repeated
            if batch.number != noted.next_number:
                # What is remembered may be behind: another control role may have applied the batch before this one.
                noted = await self._notes.read(batch.import_id, deadline)
                if batch.number != noted.next_number:
                    raise _out_of_order(noted)
            try:
                return await self._make(batch, noted, how, deadline)
            except _NoteChangedError as exc:
                noted = await self._notes.read(batch.import_id, deadline)
                if not attempts_left:
                    raise _out_of_order(noted) from exc
        raise AssertionError("the last attempt returns or raises")

    async def repeat_of(self, batch: Batch, deadline: Deadline) -> bytes:
        """Return the token of the batch's change if it is the last one that was applied, else nothing."""
        return await self._repeated(batch, await self._notes.read(batch.import_id, deadline), deadline)

    async def get(self, import_id: str, deadline: Deadline) -> tuple[storage_pb.ImportRecord, bytes]:
        """Return how far an import has come, and the token of its last change; raise ImportUnknown."""
        noted = await self._notes.read(import_id, deadline)
        if not noted.record.batch_count:
            raise ImportUnknown
        epoch = await self._maps.ensure_epoch(deadline)
        return noted.record, token.encode(epoch, noted.revision)

    async def _make(self, batch: Batch, noted: Noted, how: How, deadline: Deadline) -> bytes:
        if not noted.revision and not how.dry_run:
            await self._notes.sweep(deadline)
        record = storage_pb.ImportRecord()
        record.CopyFrom(noted.record)
        record.import_id = batch.import_id
        record.actor = record.actor or how.actor
        record.batch_count = batch.number
        record.entry_count += len(batch.changes)
        record.last_digest = batch.digest
        record.update_time.FromNanoseconds(int(self._maps.now() * 1e9))
        key = import_key(batch.import_id)
        note = ControlChange(
            compares={key: noted.revision}, puts={key: record.SerializeToString()}, conflict=_NoteChangedError
        )
        prepared = [_named(self._prepared(change, how, deadline)) for change in batch.changes]
        change = await self._maps.change(prepared, how, deadline, also=note)
        if not how.dry_run:
            self._notes.remember(batch.import_id, Noted(record, change.revision))
        return change.token

    def _prepared(self, change: Put | Removal, how: How, deadline: Deadline) -> Prepared:
        """Return the change as its own method would make it."""
        match change:
            case RegionEntry():
                return self._regions.prepare_put(change, how, deadline)
            case SpaceEntry():
                return self._spaces.prepare_put(change, deadline)
            case TenantEntry():
                return self._tenants.prepare_put(change, how, deadline)
            case CollectionEntry():
                return self._collections.prepare_put(change, how, deadline)
            case Removal(MapKey(Kind.REGION, name), revision):
                return self._regions.prepare_delete(name, revision, how, deadline)
            case Removal(MapKey(Kind.SPACE, name), revision):
                return self._spaces.prepare_delete(name, revision, deadline)
            case Removal(MapKey(Kind.TENANT, name), revision):
                return self._tenants.prepare_delete(name, revision, deadline)
            case Removal(MapKey(_, tenant_id, collection_id), revision):
                return self._collections.prepare_delete(tenant_id, collection_id, revision, how)

    async def _repeated(self, batch: Batch, noted: Noted, deadline: Deadline) -> bytes:
        if batch.number != noted.record.batch_count or not noted.revision:
            return b""
        if batch.digest != noted.record.last_digest:
            raise _out_of_order(noted)
        return token.encode(await self._maps.ensure_epoch(deadline), noted.revision)


def _out_of_order(noted: Noted) -> ImportOutOfOrder:
    return ImportOutOfOrder(metadata={"nextBatch": str(noted.next_number)})


def _named(prepared: Prepared) -> Prepared:
    """Let what the decision refuses name its entry."""

    async def decide(state: MapState) -> Plan:
        try:
            return await prepared.decide(state)
        except DomainError as exc:
            exc.metadata = {**exc.metadata, "entry": prepared.name.path}
            raise

    return replace(prepared, decide=decide)
