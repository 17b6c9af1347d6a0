"""The notes of imports: how far each has come, in the store and remembered, until it is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.keys import IMPORTS, import_key
from trunkline_map.store import KeyValue, StoreUnavailableError, Transaction
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_store import MapStore, call_timeout_s

LIFE_S: Final = 7 * 86_400.0
"""An import is forgotten so long after its last batch."""

MAX_REMEMBERED: Final = 64
"""Imports whose notes are kept in memory, which saves a read for each batch."""

MAX_SWEPT: Final = 50
"""Forgotten ones removed when a new import begins."""


@dataclass(frozen=True, slots=True)
class Noted:
    """An import's note as it lies in the store."""

    record: storage_pb.ImportRecord
    revision: int
    """0 for one that is not there yet."""

    @property
    def next_number(self) -> int:
        """Number of the batch to come."""
        return int(self.record.batch_count) + 1


class ImportNotes:
    """Reads notes; they are written by the transactions of their batches."""

    def __init__(self, maps: MapStore) -> None:
        """Read from the store of `maps`."""
        self._maps: Final = maps
        self._remembered: OrderedDict[str, Noted] = OrderedDict()

    async def of(self, import_id: str, deadline: Deadline) -> Noted:
        """Return what is remembered, which may be behind, else the note as the store has it."""
        return self._remembered.get(import_id) or await self.read(import_id, deadline)

    async def read(self, import_id: str, deadline: Deadline) -> Noted:
        """Return the note as the store has it; an empty one, upon the old one, for an import that is forgotten."""
        key = import_key(import_id)
        state = await self._maps.read_live((), deadline, control_keys=[key])
        item = state.raw.get(key)
        noted = Noted(storage_pb.ImportRecord(), 0) if item is None else _noted(item)
        if self._forgotten(noted):
            noted = Noted(storage_pb.ImportRecord(), noted.revision)
        self.remember(import_id, noted)
        return noted

    def remember(self, import_id: str, noted: Noted) -> None:
        """Keep a note as the most recently used one."""
        self._remembered[import_id] = noted
        self._remembered.move_to_end(import_id)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)

    def _forgotten(self, noted: Noted) -> bool:
        return noted.record.update_time.ToNanoseconds() < (self._maps.now() - LIFE_S) * 1e9

    async def sweep(self, deadline: Deadline) -> None:
        """Remove notes of imports that are forgotten."""
        try:
            page = await self._maps.kv.list_page(IMPORTS, timeout_s=call_timeout_s(deadline))
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        old = [item for item in page.items if self._forgotten(_noted(item))][:MAX_SWEPT]
        if old:
            transaction = Transaction(
                compares={item.key: item.mod_revision for item in old}, deletes=[item.key for item in old]
            )
            await self._maps.kv.commit(transaction, timeout_s=call_timeout_s(deadline))


def _noted(item: KeyValue) -> Noted:
    """Return a note; what is none is as old as can be, so it is replaced and swept."""
    try:
        return Noted(storage_pb.ImportRecord.FromString(item.value), item.mod_revision)
    except DecodeError:
        return Noted(storage_pb.ImportRecord(), item.mod_revision)
