"""Which collections rely on an entry, as they are at one revision and with what the same transaction changes.

The watched map answers where it is as fresh as the decision; else the store is listed page by page. Either way the
answer comes with the condition under which it still holds at the write.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import CollectionEntry, Entry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_map.records import MalformedRecordError, decode
from trunkline_map.snapshot import EMPTY_MAP, MapSnapshot
from trunkline_map.store import KeyValue, KeyValueStore, Page, StoreCompactedError, StoreUnavailableError, Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RevisionConflict
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_state import PLACEMENTS_FENCE, MapState
from trunkline_routing.control.map_store import MapStore, call_timeout_s

MAX_USERS_NAMED: Final = 5
"""A refusal names at most so many users."""

Uses = Callable[[CollectionEntry], bool]


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan of collections found."""

    users: tuple[str, ...]
    """`tenant/collection` of the first few; empty if nothing relies on the entry."""
    count: int
    """How many there are."""
    unchanged: Unchanged
    """Condition under which an empty answer still holds at the write: no collection was put since."""


async def scan_collections(
    maps: MapStore,
    state: MapState,
    uses: Uses,
    deadline: Deadline,
    *,
    tenant_id: str = "",
    malformed_use: bool = True,
) -> Scan:
    """Return which collections, of one tenant or of all, `uses` accepts, once the transaction so far is made.

    A malformed collection counts as a user, for what it relies on is not known; or, unless `malformed_use`, by its last
    good entry.
    Raises MapUnwritable, and RevisionConflict if the map changes and is compacted faster than it can be read.
    """
    pending = state.pending_collections(tenant_id)
    prefix = folder(Kind.COLLECTION, tenant_id)
    found, revision = await _found(maps, state, uses, deadline, prefix, malformed_use)
    users = [_name(entry.key) for entry in pending.values() if entry is not None and uses(entry)]
    users += (_name(key) for key in found if key not in pending)
    fence = prefix if tenant_id else PLACEMENTS_FENCE
    return Scan(tuple(users[:MAX_USERS_NAMED]), len(users), Unchanged(fence, revision))


async def _found(
    maps: MapStore, state: MapState, uses: Uses, deadline: Deadline, prefix: bytes, malformed_use: bool
) -> tuple[list[MapKey], int]:
    """Return users, and the revision at which they were found. That there is none may be told by an older map."""
    if prefix == folder(Kind.COLLECTION):
        for fresh in (True,) if state.overtaken else (False, True):
            snapshot = await maps.watched(state, deadline, whole=malformed_use, fresh=fresh)
            if snapshot is None:
                break
            # Some 20 ms for 100,000 collections: too long for the event loop.
            found = await asyncio.to_thread(_watched, snapshot, uses)
            if fresh or not found:
                return found, snapshot.revision
    return await _listed(maps, prefix, uses, deadline, malformed_use)


async def pages(
    kv: KeyValueStore, prefix: bytes, deadline: Deadline, *, revision: int = 0, keys_only: bool = False
) -> AsyncIterator[Page]:
    """Yield every page of what lies under `prefix`, at least one, all at one revision. Raises as `scan_collections`."""
    after, more = b"", True
    while more:
        try:
            page = await kv.list_page(
                prefix, after=after, revision=revision, timeout_s=call_timeout_s(deadline), keys_only=keys_only
            )
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        except StoreCompactedError as exc:
            raise RevisionConflict("the map changed while it was read; try again") from exc
        yield page
        more = page.more and bool(page.items)
        after, revision = (page.items[-1].key if page.items else after), page.revision


def _watched(snapshot: MapSnapshot, uses: Uses) -> list[MapKey]:
    entries = (entry for entry in snapshot.entries() if isinstance(entry, CollectionEntry))
    return sorted(entry.key for entry in entries if uses(entry))


async def _listed(
    maps: MapStore, prefix: bytes, uses: Uses, deadline: Deadline, malformed_use: bool
) -> tuple[list[MapKey], int]:
    found: list[MapKey] = []
    revision = 0
    last_good = maps.source.snapshot if maps.source.ready() else EMPTY_MAP

    def relies(key: MapKey, item: KeyValue) -> bool:
        entry: Entry | None
        try:
            entry = decode(key, item.value, item.mod_revision)
        except MalformedRecordError:
            if malformed_use:
                return True
            entry = last_good.entry(key)
        return isinstance(entry, CollectionEntry) and uses(entry)

    async for page in pages(maps.kv, prefix, deadline):
        revision = page.revision
        keyed = ((MapKey.parse(item.key), item) for item in page.items)
        found += [key for key, item in keyed if key is not None and relies(key, item)]
    return found, revision


def _name(key: MapKey) -> str:
    return f"{key.name}/{key.collection_id}"
