"""Which collections rely on an entry: all of them are read at one revision, and the answer says which."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from trunkline_map.entries import CollectionEntry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_map.records import MalformedRecordError, decode
from trunkline_map.store import KeyValue, KeyValueStore, Page, StoreCompactedError, StoreUnavailableError, Unchanged
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import RevisionConflict
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_store import call_timeout_s

MAX_USERS_NAMED: Final = 5
"""A refusal names at most so many users."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan of collections found."""

    users: tuple[str, ...]
    """`tenant/collection` of the first few; empty if nothing relies on the entry."""
    unchanged: Unchanged
    """Condition under which an empty answer still holds at the write: no collection was put since."""


async def scan_collections(
    kv: KeyValueStore, uses: Callable[[CollectionEntry], bool], deadline: Deadline, *, tenant_id: str = ""
) -> Scan:
    """Return which collections, of one tenant or of all, `uses` accepts.

    A malformed collection counts as a user: what it relies on is not known. Raises MapUnwritable, and
    RevisionConflict if the map changes and is compacted faster than it can be read.
    """
    prefix = folder(Kind.COLLECTION, tenant_id)
    users: list[str] = []
    revision = 0
    async for page in pages(kv, prefix, deadline):
        revision = page.revision
        keyed = ((MapKey.parse(item.key), item) for item in page.items)
        users += (f"{key.name}/{key.collection_id}" for key, item in keyed if key and _relies(key, item, uses))
        if users:
            break
    return Scan(tuple(users[:MAX_USERS_NAMED]), Unchanged(prefix, revision))


async def pages(kv: KeyValueStore, prefix: bytes, deadline: Deadline) -> AsyncIterator[Page]:
    """Yield every page of what lies under `prefix`, at least one, all at one revision. Raises as `scan_collections`."""
    after, revision, more = b"", 0, True
    while more:
        try:
            page = await kv.list_page(prefix, after=after, revision=revision, timeout_s=call_timeout_s(deadline))
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        except StoreCompactedError as exc:
            raise RevisionConflict("the map changed while it was read; try again") from exc
        yield page
        more = page.more and bool(page.items)
        after, revision = (page.items[-1].key if page.items else after), page.revision


def _relies(key: MapKey, item: KeyValue, uses: Callable[[CollectionEntry], bool]) -> bool:
    try:
        entry = decode(key, item.value, item.mod_revision)
    except MalformedRecordError:
        return True
    return isinstance(entry, CollectionEntry) and uses(entry)
