"""Lists of entries, page by page at one revision; the last good map answers when the store does not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from trunkline_map import token
from trunkline_map.entries import Entry
from trunkline_map.feed import read_entry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.store import KeyValue, StoreCompactedError, StoreUnavailableError
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable, PageExpired
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_store import MapStore, call_timeout_s
from trunkline_routing.control.paging import PageRequest, PageToken, encode, foreign_page_token

_E = TypeVar("_E", bound=Entry)


@dataclass(frozen=True, slots=True)
class EntryPage(Generic[_E]):
    """One page of entries."""

    entries: tuple[_E, ...]
    next_page_token: str
    """Empty on the last page."""
    token: bytes
    """Map token of the revision at which all pages are read."""


async def list_entries(
    maps: MapStore, wanted: tuple[Kind, type[_E]], page: PageRequest, deadline: Deadline, *, tenant_id: str = ""
) -> EntryPage[_E]:
    """Return one page of a kind's entries, of one tenant for collections, in the order of their names.

    Malformed entries are left out. Raises FieldInvalid for a page token of another list, PageExpired for one whose
    revision is compacted or of another epoch, and MapUnwritable.
    """
    kind, entry_type = wanted
    prefix = folder(kind, tenant_id)
    if page.token is not None and not page.token.after_key.startswith(prefix):
        raise foreign_page_token()
    try:
        return await _live_page(maps, prefix, entry_type, page, deadline)
    except MapUnwritable:
        return _last_good_page(maps.last_good(deadline), wanted, page, tenant_id)


async def _live_page(
    maps: MapStore, prefix: bytes, entry_type: type[_E], page: PageRequest, deadline: Deadline
) -> EntryPage[_E]:
    epoch = await maps.ensure_epoch(deadline)
    if page.token is not None and page.token.epoch != epoch:
        raise PageExpired
    try:
        found = await maps.kv.list_page(
            prefix,
            after=page.token.after_key if page.token else b"",
            revision=page.token.revision if page.token else 0,
            limit=page.size,
            timeout_s=call_timeout_s(deadline),
        )
    except StoreCompactedError as exc:
        raise PageExpired from exc
    except StoreUnavailableError as exc:
        raise unreachable() from exc
    more = found.more and bool(found.items)
    following = encode(PageToken(found.revision, found.items[-1].key, epoch)) if more else ""
    entries = tuple(_read(found.items, entry_type))
    return EntryPage(entries, following, token.encode(epoch, found.revision))


def _last_good_page(
    snapshot: MapSnapshot, wanted: tuple[Kind, type[_E]], page: PageRequest, tenant_id: str
) -> EntryPage[_E]:
    kind, entry_type = wanted
    if page.token is not None and (page.token.epoch, page.token.revision) != (snapshot.epoch, snapshot.revision):
        raise unreachable()  # the pages before were of a state that only the store has
    after = page.token.after_key if page.token else b""
    entries = [entry for entry in _of_kind(snapshot, kind, tenant_id) if isinstance(entry, entry_type)]
    rest = sorted((entry for entry in entries if entry.key.encode() > after), key=lambda entry: entry.key.encode())
    shown, more = rest[: page.size], len(rest) > page.size
    following = encode(PageToken(snapshot.revision, shown[-1].key.encode(), snapshot.epoch)) if more else ""
    return EntryPage(tuple(shown), following, snapshot.token)


def _of_kind(snapshot: MapSnapshot, kind: Kind, tenant_id: str) -> Iterable[Entry]:
    match kind:
        case Kind.REGION:
            return snapshot.regions()
        case Kind.SPACE:
            return snapshot.spaces()
        case Kind.TENANT:
            return snapshot.tenants()
        case _:
            return snapshot.collections_of(tenant_id)


def _read(items: Iterable[KeyValue], entry_type: type[_E]) -> Iterator[_E]:
    for item in items:
        key = MapKey.parse(item.key)
        entry = read_entry(key, item.value, item.mod_revision) if key is not None else None
        if isinstance(entry, entry_type):
            yield entry
