"""Streams of a kind's changes, from etcd's own watch: in order, none left out, none told twice.

A stream says that it has caught up only where the store itself shows that nothing differs: no key is newer than what
was told, and as many are there as were told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from trunkline_map import token
from trunkline_map.entries import Entry
from trunkline_map.feed import read_entry
from trunkline_map.keys import Kind, MapKey, folder
from trunkline_map.store import (
    Changes,
    Page,
    StoreCompactedError,
    StoreUnavailableError,
    Watch,
    WatchCanceledError,
)
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapTokenInvalid, Overloaded, PageExpired
from trunkline_routing.control.errors import unreachable
from trunkline_routing.control.map_store import CALL_TIMEOUT_S, MapStore
from trunkline_routing.control.watch_reading import reading

MAX_STREAMS: Final = 64
"""Streams at a time, of all callers and kinds together."""

SIGN_OF_LIFE_S: Final = 30.0
"""A stream that has nothing to tell says so that often."""

SETTLE_S: Final = 0.05
"""Events on their way get so long to arrive before the store is asked again."""

STUCK_S: Final = 15.0
"""A watch that lags behind its store for so long, and tells nothing, is given up."""

END_RESERVE_S: Final = 0.5
"""A stream ends by itself so long before its time is up, so that its end is no error."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a stream: an entry that was written, the key of one that is gone, or neither: caught up."""

    token: bytes
    """Where to go on; empty while what was there at the start is still being told. Changes made together share it."""
    written: Entry | None = None
    removed: MapKey | None = None


class Watches:
    """Opens streams. They raise PageExpired, MapTokenInvalid, Overloaded and MapUnwritable."""

    def __init__(
        self, maps: MapStore, *, max_streams: int = MAX_STREAMS, sign_of_life_s: float = SIGN_OF_LIFE_S
    ) -> None:
        """Watch the store of `maps`."""
        self._maps = maps
        self._free = max_streams
        self._sign_of_life_s = sign_of_life_s

    async def follow(
        self, kind: Kind, tenant_id: str, map_token: bytes, deadline: Deadline
    ) -> AsyncGenerator[Step, None]:
        """Yield all entries that are there now, or with `map_token` what changed since; then each change.

        Of one tenant for collections. Ends shortly before the deadline. The reader's pace is the watch's: nothing is
        read ahead of it, and one that is slower than the store keeps its history is told PAGE_EXPIRED.
        """
        if not self._free:
            raise Overloaded("as many streams are open as may be; try again later", retry_delay_s=1.0)
        self._free -= 1
        try:
            stream = _Stream(self._maps, folder(kind, tenant_id), deadline, self._sign_of_life_s)
            async with aclosing(stream.steps(map_token)) as steps:
                async for step in steps:
                    yield step
        except (StoreCompactedError, WatchCanceledError) as exc:
            raise PageExpired from exc
        except StoreUnavailableError as exc:
            raise unreachable() from exc
        finally:
            self._free += 1


class _Stream:
    def __init__(self, maps: MapStore, prefix: bytes, deadline: Deadline, sign_of_life_s: float) -> None:
        self._maps = maps
        self._prefix = prefix
        self._deadline = deadline
        self._sign_of_life_s = sign_of_life_s
        self._epoch = b""
        self._epoch_watched = maps.present_epoch()
        self._revision = 0
        self._keys: set[bytes] = set()

    async def steps(self, map_token: bytes) -> AsyncGenerator[Step, None]:
        """Yield what is there or has changed, then what changes."""
        state = await self._maps.read_live((), self._deadline)
        self._epoch = state.epoch
        if map_token:
            wanted = token.decode(map_token)
            if wanted.epoch != state.epoch or wanted.revision > state.revision:
                raise MapTokenInvalid
            async for page in self._pages(wanted.revision, keys_only=True):
                self._keys.update(item.key for item in page.items)
            self._revision = wanted.revision
        else:
            async for page in self._pages(0):
                for step in self._listed(page):
                    yield step
                self._revision = page.revision
            yield self._step()
        async with (
            self._maps.kv.watch(self._prefix, start_revision=self._revision + 1) as watch,
            aclosing(self._changes(watch, caught_up=not map_token)) as changes,
        ):
            async for step in changes:
                yield step

    async def _changes(self, watch: Watch, *, caught_up: bool) -> AsyncGenerator[Step, None]:
        """Tell what the watch tells, and between it that nothing else happened."""
        loop = asyncio.get_running_loop()
        due_s = loop.time() + (self._sign_of_life_s if caught_up else 0.0)
        heard_s = loop.time()
        async with reading(watch) as read:
            while (left_s := self._deadline.remaining_s() - END_RESERVE_S) > 0:
                self._require_epoch()
                signal = await read(min(left_s, max(due_s - loop.time(), 0.0)))
                if isinstance(signal, Changes):
                    heard_s = loop.time()
                    for step in self._told(signal):
                        yield step
                if loop.time() < due_s or isinstance(signal, Changes):
                    continue
                if await self._caught_up():
                    heard_s = loop.time()
                    due_s = heard_s + self._sign_of_life_s
                    yield self._step()
                elif loop.time() - heard_s > STUCK_S:
                    raise StoreUnavailableError("the watch lags behind its store")
                else:
                    due_s = loop.time() + SETTLE_S

    def _told(self, changes: Changes) -> Iterator[Step]:
        for event in changes.events:
            self._revision = event.mod_revision
            key = MapKey.parse(event.key)
            if event.value is None:
                self._keys.discard(event.key)
                if key is not None:
                    yield Step(token.encode(self._epoch, event.mod_revision), removed=key)
                continue
            self._keys.add(event.key)
            entry = read_entry(key, event.value, event.mod_revision) if key is not None else None
            if entry is not None:
                yield Step(token.encode(self._epoch, event.mod_revision), written=entry)

    def _listed(self, page: Page) -> Iterator[Step]:
        for item in page.items:
            self._keys.add(item.key)
            key = MapKey.parse(item.key)
            entry = read_entry(key, item.value, item.mod_revision) if key is not None else None
            if entry is not None:
                yield Step(b"", written=entry)

    async def _caught_up(self) -> bool:
        """Ask the store whether it has anything that was not told; if not, go on from its present revision."""
        revision = await self._maps.kv.quiet_since(
            self._prefix, self._revision, keys=len(self._keys), timeout_s=CALL_TIMEOUT_S
        )
        if revision is None:
            return False
        self._revision = max(self._revision, revision)
        return True

    async def _pages(self, revision: int, *, keys_only: bool = False) -> AsyncIterator[Page]:
        after, more = b"", True
        while more:
            page = await self._maps.kv.list_page(
                self._prefix, after=after, revision=revision, keys_only=keys_only, timeout_s=CALL_TIMEOUT_S
            )
            yield page
            more, revision = page.more and bool(page.items), page.revision
            after = page.items[-1].key if page.items else after

    def _require_epoch(self) -> None:
        """A restored store has another history: what comes next does not follow from what was told.

        The watched map may have lagged behind the epoch with which the stream began.
        """
        if self._maps.present_epoch() not in (self._epoch, self._epoch_watched):
            raise MapTokenInvalid("the map has a new epoch; begin anew")

    def _step(self) -> Step:
        return Step(token.encode(self._epoch, self._revision))
