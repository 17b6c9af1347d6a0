"""Reading the whole map at one revision: pages of a good size, read from their values beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from trunkline_map.feed import Listing, MapFeed
from trunkline_map.keys import PREFIX
from trunkline_map.store import MAX_PAGE_KEYS, KeyValue, KeyValueStore, Page
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

_PAGE_BYTES: Final = 1 << 19
"""What a page should weigh: taking it apart holds the event loop for some 5 ms."""

_PAGE_KEYS: Final = 2500
"""Most keys of a page. etcd counts all keys that follow for every page, so small pages of a large map are costly."""


async def read_listing(store: KeyValueStore, feed: MapFeed, *, timeout_s: float) -> tuple[Listing, int]:
    """Return a complete listing, built, and its revision; each page is bounded by `timeout_s`.

    Entries that `feed` has at the same revision are kept, unless the store went back in time or has another epoch.
    Raises StoreUnavailableError and StoreCompactedError.
    """
    listing, revision = await _read(store, feed, reuse=feed.revision > 0, timeout_s=timeout_s)
    if revision < feed.revision:
        _log.error("the control store went back in time; taking its present state", revision=revision)
    if listing.foreign() or revision < feed.revision:
        listing, revision = await _read(store, feed, reuse=False, timeout_s=timeout_s)
    await asyncio.to_thread(listing.build, revision)
    return listing, revision


async def _read(store: KeyValueStore, feed: MapFeed, *, reuse: bool, timeout_s: float) -> tuple[Listing, int]:
    listing, revision = Listing(feed.snapshot, reuse=reuse), 0
    adding = asyncio.create_task(asyncio.to_thread(listing.add, ()))
    try:
        async for page in _pages(store, timeout_s):
            revision = page.revision
            await adding
            # While one page is read from its values, the next one is on its way.
            adding = asyncio.create_task(asyncio.to_thread(listing.add, page.items))
    finally:
        await adding
    return listing, revision


async def _pages(store: KeyValueStore, timeout_s: float) -> AsyncIterator[Page]:
    """Yield all pages at the revision of the first one."""
    after, revision, limit, more = b"", 0, MAX_PAGE_KEYS, True
    while more:
        page = await store.list_page(PREFIX, after=after, revision=revision, limit=limit, timeout_s=timeout_s)
        yield page
        revision, more = page.revision, page.more and bool(page.items)
        if page.items:
            after, limit = page.items[-1].key, _next_limit(page.items)


def _next_limit(items: tuple[KeyValue, ...]) -> int:
    """Return how many keys like these make a page of _PAGE_BYTES."""
    size_bytes = sum(len(item.key) + len(item.value) for item in items)
    return max(MAX_PAGE_KEYS, min(_PAGE_KEYS, _PAGE_BYTES * len(items) // max(1, size_bytes)))
