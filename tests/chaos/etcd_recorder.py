"""A store that looks over the shoulder of a watcher: every event that the library hands on, in which order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from trunkline_map.store import Changes, KeyValueStore, Page, Signal, Watch


class Recorder:
    """Passes everything on to a store, and checks what a watch of it yields.

    An event counts as repeated or reordered if its revision is not above all that were handed on since the last
    listing, or lies before the revision at which its watch began. An event may be missing only if a listing covers it.
    """

    def __init__(self, store: KeyValueStore) -> None:
        self.delivered: set[tuple[bytes, int]] = set()
        """Key and revision of every event."""
        self.listed: list[tuple[int, int]] = []
        """For each listing: the revision that was reached before it, and its own."""
        self.repeated_or_reordered = 0
        self._store = store
        self._reached = 0

    def __getattr__(self, name: str) -> Any:
        """Everything else is the store's own business."""
        return getattr(self._store, name)

    async def list_page(self, prefix: bytes, **options: Any) -> Page:
        """Pass a page on; one with values belongs to a listing that replaces the map."""
        page = await self._store.list_page(prefix, **options)
        if not options.get("keys_only"):
            self.listed.append((self._reached, page.revision))
            self._reached = max(self._reached, page.revision)
        return page

    @asynccontextmanager
    async def watch(self, prefix: bytes, *, start_revision: int) -> AsyncIterator[Watch]:
        """Open a watch and look at what it yields."""
        async with self._store.watch(prefix, start_revision=start_revision) as watch:
            yield _Seen(watch, self, start_revision)

    def covers(self, key: bytes, revision: int) -> bool:
        """Tell whether a change reached the watcher, as an event or within a listing."""
        return (key, revision) in self.delivered or any(before < revision <= at for before, at in self.listed)

    def take(self, signal: Signal, start_revision: int) -> None:
        """Look at one signal."""
        if not isinstance(signal, Changes):
            return
        previous = self._reached
        for event in signal.events:
            in_order = event.mod_revision >= start_revision and event.mod_revision > previous
            self.repeated_or_reordered += not in_order or event.mod_revision < self._reached
            self.delivered.add((event.key, event.mod_revision))
            self._reached = max(self._reached, event.mod_revision)


class _Seen:
    """A watch under observation."""

    def __init__(self, watch: Watch, recorder: Recorder, start_revision: int) -> None:
        self._watch = watch
        self._recorder = recorder
        self._start_revision = start_revision

    def __getattr__(self, name: str) -> Any:
        return getattr(self._watch, name)

    async def __aiter__(self) -> AsyncIterator[Signal]:
        async for signal in self._watch:
            self._recorder.take(signal, self._start_revision)
            yield signal
