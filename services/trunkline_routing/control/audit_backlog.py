"""Which changes of the history are not in the audit log yet, in the order in which they belong there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Final

from trunkline_map.keys import CONTROL_PREFIX, parse_history_key
from trunkline_map.store import MAX_TRANSACTION_KEYS, KeyValue
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.audit_file import AuditFile
from trunkline_routing.control.audit_lines import Identity, epoch_of, identity, line_fields
from trunkline_routing.control.change_lists import ChangeOfEntry, read_change
from trunkline_routing.control.map_store import CALL_TIMEOUT_S, MapStore
from trunkline_routing.control.scans import pages

LIST_WITHIN_S: Final = 300.0
"""Bound of listing the names of the whole history; some seconds for a million."""

_Place = tuple[int, str, bytes]
"""Revision, entry and key: the order of the lines."""


async def backlog(maps: MapStore, file: AuditFile, epoch: bytes) -> tuple[AsyncIterator[Sequence[KeyValue]], int]:
    """Return what is to be appended, in parts, and the revision up to which that is everything.

    What follows the last line is newer than it, as long as the store's revisions only grow. After the store was
    restored from a backup they may not: then every change is looked up in the log. Raises what `pages` raises,
    StoreUnavailableError, and ValueError and OSError of the file.
    """
    places, revision = await _places(maps)
    last = file.last
    if last is not None:
        if epoch_of(last["token"]) == epoch and last["revision"] <= revision:
            places = [place for place in places if place[:2] > (last["revision"], last["entry"])]
        else:
            places = await _unknown(maps, file, places, epoch)
    return _values(maps, [key for _, _, key in places]), revision


def changes_of(items: Iterable[KeyValue]) -> list[ChangeOfEntry]:
    """Return the changes among keys of the control role, in the order of the lines."""
    changes = (change for item in items if (change := read_change(item)) is not None)
    return sorted(changes, key=lambda change: (change.revision, change.key.path))


async def _places(maps: MapStore) -> tuple[list[_Place], int]:
    places: list[_Place] = []
    revision = 0
    async for page in pages(maps.kv, CONTROL_PREFIX, Deadline.after(LIST_WITHIN_S), keys_only=True):
        revision = page.revision
        for item in page.items:
            parsed = parse_history_key(item.key)
            if parsed is not None:
                places.append((item.mod_revision, parsed[0].path, item.key))
    return sorted(places), revision


async def _unknown(maps: MapStore, file: AuditFile, places: Sequence[_Place], epoch: bytes) -> list[_Place]:
    """Return those of the changes that no line tells."""
    wanted: dict[Identity, _Place] = {}
    async for items in _values(maps, [key for _, _, key in places]):
        for item in items:
            change = read_change(item)
            if change is not None:
                wanted[identity(line_fields(change, epoch))] = (change.revision, change.key.path, item.key)
    await asyncio.to_thread(_forget_told, file, wanted)
    return sorted(wanted.values())


def _forget_told(file: AuditFile, wanted: dict[Identity, _Place]) -> None:
    for told in file.lines():
        wanted.pop(identity(told), None)


async def _values(maps: MapStore, keys: Sequence[bytes]) -> AsyncIterator[Sequence[KeyValue]]:
    """Yield records in parts of bounded size; only this log's writer removes any, and only those that it wrote."""
    for start in range(0, len(keys), MAX_TRANSACTION_KEYS):
        found = await maps.kv.read(keys[start : start + MAX_TRANSACTION_KEYS], timeout_s=CALL_TIMEOUT_S)
        yield list(found.items.values())
