"""The map's store in memory: revisions, compare-and-set over all that was read, listings of the past, and a watch.

What it does is what `KeyValueStore` says and `tests/integration/map/test_etcd_store.py` shows of etcd.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from trunkline_map.store import (
    MAX_PAGE_KEYS,
    Changes,
    Commit,
    Event,
    KeyValue,
    MemberStatus,
    Page,
    ReadResult,
    Signal,
    Started,
    StoreCompactedError,
    StoreUnavailableError,
    Transaction,
    WatchCanceledError,
)

Meanwhile = Callable[[], Awaitable[object]]


class MemoryStore:
    """`KeyValueStore` of one process."""

    def __init__(self) -> None:
        self.revision = 1
        self.commits = 0
        self.compacted = 0
        self.away = False
        self.meanwhile: Meanwhile | None = None
        """Happens between a decision and its commit, once."""
        self.events: list[Event] = []
        self._changed = asyncio.Condition()

    def state(self, revision: int = 0) -> dict[bytes, KeyValue]:
        """Return what is there, or was at a revision."""
        found: dict[bytes, KeyValue] = {}
        for event in self.events:
            if revision and event.mod_revision > revision:
                break
            if event.value is None:
                found.pop(event.key, None)
            else:
                found[event.key] = KeyValue(event.key, event.value, event.mod_revision)
        return found

    async def read(self, keys: Sequence[bytes], *, timeout_s: float) -> ReadResult:
        self._reach()
        now = self.state()
        return ReadResult({key: now[key] for key in keys if key in now}, self.revision)

    async def list_page(
        self,
        prefix: bytes,
        *,
        timeout_s: float,
        after: bytes = b"",
        limit: int = MAX_PAGE_KEYS,
        revision: int = 0,
        keys_only: bool = False,
        descending: bool = False,
    ) -> Page:
        self._reach()
        if revision and revision < self.compacted:
            raise StoreCompactedError
        items = [item for key, item in sorted(self.state(revision).items()) if key.startswith(prefix)]
        if descending:
            items = [item for item in reversed(items) if not after or item.key < after]
        else:
            items = [item for item in items if item.key > after]
        shown = [item._replace(value=b"") if keys_only else item for item in items[:limit]]
        return Page(tuple(shown), revision or self.revision, len(items) > limit)

    async def list_latest(
        self, prefix: bytes, *, timeout_s: float, limit: int = MAX_PAGE_KEYS, before: int = 0, since: int = 0
    ) -> Page:
        self._reach()
        items = [item for key, item in self.state().items() if key.startswith(prefix)]
        items = [item for item in items if since <= item.mod_revision and (not before or item.mod_revision < before)]
        items.sort(key=lambda item: item.mod_revision, reverse=True)
        end = limit
        while 0 < end < len(items) and items[end].mod_revision == items[end - 1].mod_revision:
            end += 1
        return Page(tuple(items[:end]), self.revision, len(items) > end)

    async def quiet_since(self, prefix: bytes, revision: int, *, keys: int, timeout_s: float) -> int | None:
        self._reach()
        here = [item for key, item in self.state().items() if key.startswith(prefix)]
        quiet = len(here) == keys and all(item.mod_revision <= revision for item in here)
        return self.revision if quiet else None

    async def commit(self, transaction: Transaction, *, timeout_s: float) -> Commit:
        self._reach()
        transaction.check_bounds()
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        now = self.state()
        same = all(
            (now[key].mod_revision if key in now else 0) == wanted for key, wanted in transaction.compares.items()
        )
        quiet = all(
            item.mod_revision <= condition.revision
            for condition in transaction.unchanged
            for key, item in now.items()
            if key.startswith(condition.prefix)
        )
        if not same or not quiet:
            return Commit(False, self.revision)
        self.revision += 1
        self.commits += 1
        self.events += (Event(key, value, self.revision) for key, value in transaction.puts.items())
        self.events += (Event(key, None, self.revision) for key in transaction.deletes if key in now)
        async with self._changed:
            self._changed.notify_all()
        return Commit(True, self.revision)

    @asynccontextmanager
    async def watch(self, prefix: bytes, *, start_revision: int) -> AsyncIterator[MemoryWatch]:
        yield MemoryWatch(self, prefix, start_revision)

    async def check_version(self, *, timeout_s: float) -> str:
        return "memory"

    async def member_statuses(self, *, timeout_s: float) -> tuple[MemberStatus, ...]:
        return ()

    async def changed(self) -> None:
        """Wait for the next commit."""
        async with self._changed:
            await self._changed.wait()

    def compact(self) -> None:
        """Forget the past."""
        self.compacted = self.revision

    def _reach(self) -> None:
        if self.away:
            raise StoreUnavailableError


class MemoryWatch:
    """A watch of a `MemoryStore`."""

    def __init__(self, store: MemoryStore, prefix: bytes, start_revision: int) -> None:
        self._store = store
        self._prefix = prefix
        self._next = start_revision

    async def __aiter__(self) -> AsyncIterator[Signal]:
        if self._next <= self._store.compacted - 1:
            raise WatchCanceledError
        yield Started(self._store.revision)
        while True:
            told = self._store.revision
            events = [event for event in self._store.events if self._next <= event.mod_revision <= told]
            self._next = told + 1
            mine = tuple(event for event in events if event.key.startswith(self._prefix))
            if mine:
                yield Changes(mine)
            if self._store.revision == told:
                await self._store.changed()

    async def request_progress(self) -> None:
        """There is nothing to find out."""

    def abort(self) -> None:
        """Nothing is held."""
