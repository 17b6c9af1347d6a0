"""The history as operators and tenants read it: changes of one entry or of many, the latest first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import DecodeError

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map import token
from trunkline_map.entries import Entry
from trunkline_map.feed import read_entry
from trunkline_map.keys import Kind, MapKey, history_folder, history_of_kind, parse_history_key
from trunkline_map.store import (
    MAX_TRANSACTION_KEYS,
    KeyValue,
    StoreCompactedError,
    StoreUnavailableError,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import PageExpired
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_store import MapStore, call_timeout_s
from trunkline_routing.control.paging import PageRequest, PageToken, encode, foreign_page_token

_PLACE: Final = re.compile(rb"([0-9a-f]{16}):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ChangeOfEntry:
    """One change, as the history has it."""

    key: MapKey
    record: storage_pb.HistoryRecord
    before: Entry | None
    """None if there was none, or if it cannot be read. Its own revision is not known."""
    after: Entry | None
    """None if it was removed, or if it cannot be read."""
    revision: int
    """etcd revision that the change made."""


@dataclass(frozen=True, slots=True)
class ChangePage:
    """One page of changes, the latest first."""

    changes: tuple[ChangeOfEntry, ...]
    epoch: bytes
    """For the changes' tokens."""
    next_page_token: str


class ChangeLists:
    """Lists of changes, each at one revision. Raises FieldInvalid, PageExpired, MapUnwritable and DeadlineExceeded."""

    def __init__(self, maps: MapStore) -> None:
        """Read the history beside `maps`."""
        self._maps = maps

    async def of_entry(self, key: MapKey, page: PageRequest, deadline: Deadline) -> ChangePage:
        """Return changes of one entry; none for one that never was."""
        prefix = history_folder(key)
        epoch, revision, after = await self._place(page, deadline)
        if after and not after.startswith(prefix):
            raise foreign_page_token()
        try:
            found = await self._maps.kv.list_page(
                prefix,
                after=after,
                limit=page.size,
                revision=revision,
                descending=True,
                timeout_s=call_timeout_s(deadline),
            )
        except StoreCompactedError as exc:
            raise PageExpired from exc
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        more = found.more and bool(found.items)
        following = encode(PageToken(found.revision, found.items[-1].key, epoch)) if more else ""
        return ChangePage(_read_all(found.items), epoch, following)

    async def of_kind(self, kind: Kind, tenant_id: str, page: PageRequest, deadline: Deadline) -> ChangePage:
        """Return changes of a kind's entries, of one tenant for collections.

        The store reads the whole folder for each page: some 0.5 s for 100,000 changes.
        """
        prefix = history_of_kind(kind, tenant_id)
        epoch, revision, after = await self._place(page, deadline)
        last = _parse_place(after, prefix) if after else None
        try:
            found = await self._maps.kv.list_latest(
                prefix,
                before=last[0] + 1 if last else 0,
                limit=page.size + MAX_TRANSACTION_KEYS,  # of the last page's revision, some were shown already
                timeout_s=call_timeout_s(deadline),
            )
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        items = sorted(found.items, key=_place_of, reverse=True)
        rest = [item for item in items if last is None or _place_of(item) < last]
        shown, following = rest[: page.size], ""
        if len(rest) > len(shown) or (found.more and shown):
            changed, key = _place_of(shown[-1])
            place = f"{changed:016x}:".encode() + key
            following = encode(PageToken(revision or found.revision, place, epoch))
        return ChangePage(_read_all(shown), epoch, following)

    async def _place(self, page: PageRequest, deadline: Deadline) -> tuple[bytes, int, bytes]:
        """Return the epoch, the revision to read at (0: now) and the place after which to go on."""
        epoch = await self._maps.ensure_epoch(deadline)
        if page.token is None:
            return epoch, 0, b""
        if page.token.epoch != epoch:
            raise PageExpired
        return epoch, page.token.revision, page.token.after_key


def read_change(item: KeyValue) -> ChangeOfEntry | None:
    """Return the change that a key of the history holds; None for what is none."""
    parsed = parse_history_key(item.key)
    if parsed is None:
        return None
    key, _ = parsed
    try:
        record = storage_pb.HistoryRecord.FromString(item.value)
    except DecodeError:
        return None
    before = read_entry(key, record.before, 0) if record.before else None
    after = read_entry(key, record.after, item.mod_revision) if record.after else None
    return ChangeOfEntry(key, record, before, after, item.mod_revision)


def token_of(change: ChangeOfEntry, epoch: bytes) -> bytes:
    """Return the map token of the state that a change made."""
    return token.encode(epoch, change.revision)


def _place_of(item: KeyValue) -> tuple[int, bytes]:
    return item.mod_revision, item.key


def _parse_place(after: bytes, prefix: bytes) -> tuple[int, bytes]:
    found = _PLACE.fullmatch(after)
    if found is None or not found[2].startswith(prefix):
        raise foreign_page_token()
    return int(found[1], 16), found[2]


def _read_all(items: Iterable[KeyValue]) -> tuple[ChangeOfEntry, ...]:
    return tuple(change for item in items if (change := read_change(item)) is not None)
