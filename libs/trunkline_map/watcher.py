"""Keeps the map current: list, then watch from there, for ever.

What never loses a change (each point has a test that fails without it):
1. The list is paged at one revision R and swapped in as a whole; the watch starts at R + 1.
2. The resume point moves only to the revision of delivered events, to an unrequested progress notice, or to a revision
   at which the store itself shows that nothing differs. Never to a response header's revision.
3. Whenever the store ends the watch, for a compaction or anything else, the map is listed again.
4. A sign of life is asked for every 30 s; a stream that stays silent is given up. The channel's pings notice a frozen
   server, `hasleader` one without a quorum.
5. Every few minutes the map is compared with the store; a difference is counted, logged and healed by a new list.
Losing the store changes nothing but the map's age.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from trunkline_map import metrics
from trunkline_map.etcd import open_etcd
from trunkline_map.etcd_access import EtcdAccess
from trunkline_map.feed import MapFeed
from trunkline_map.heap import LARGE_ENTRIES, no_collections, settle
from trunkline_map.keys import PREFIX
from trunkline_map.listing import read_listing
from trunkline_map.settings import WatchSettings
from trunkline_map.source import MapHolder
from trunkline_map.store import (
    Changes,
    KeyValueStore,
    Progress,
    Signal,
    Started,
    StoreCompactedError,
    StoreUnavailableError,
    WatchCanceledError,
)
from trunkline_map.tending import Tending
from trunkline_map.token import MapToken
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)


class MapWatcher(MapHolder):
    """A `MapSource` fed by a store. `run` must be running; use `watching` or `open_map_watcher`."""

    def __init__(
        self,
        store: KeyValueStore,
        settings: WatchSettings | None = None,
        *,
        clock: Clock = MONOTONIC,
        rng: random.Random | None = None,
    ) -> None:
        """Watch `store`, which the caller closes. The clock tells the map's age; `rng` spreads retries."""
        super().__init__()
        self.feed = MapFeed()
        self.relists = 0
        self.resumes = 0
        self._store = store
        self._settings = settings or WatchSettings()
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._confirmed_at_s: float | None = None
        self._connected = False
        self._version_checked = False
        self._tending = Tending(self, store, self._settings, self._rng, clock)

    def age_s(self) -> float:
        """Return the seconds since any answer of the store confirmed the map; infinite before the first load."""
        if self._confirmed_at_s is None:
            return float("inf")
        return self._clock() - self._confirmed_at_s

    def connected(self) -> bool:
        """Return True while a watch is in place."""
        return self._connected

    def missing(self, wanted: MapToken) -> None:
        """Have the store asked whether `wanted` differs from what we have: other keys move its revision, too."""
        if wanted.revision > self.feed.revision:
            self._tending.want(wanted.revision)

    def confirm(self) -> None:
        """Note that the store spoke, and publish what it said."""
        self._confirmed_at_s = self._clock()
        if self.feed.snapshot is not self._current:
            self.publish(self.feed.snapshot)
            metrics.MAP_REVISION.set(self.feed.revision)
            metrics.MAP_ENTRIES_MALFORMED.set(len(self.feed.malformed))

    async def run(self) -> None:
        """List and watch until cancelled. Never ends by itself: a map that nobody feeds grows old in silence."""
        metrics.MAP_AGE_S.set_function(self.age_s)
        relist = True
        delay_s = self._settings.backoff_min_s
        while True:
            try:
                if relist:
                    await self._relist()
                    relist = False
                await self._follow()
            except StoreUnavailableError:
                relist = relist or self._tending.take_relist()
                self._note_break()
            except (WatchCanceledError, StoreCompactedError):
                relist = True
            except Exception:  # noqa: BLE001 - a defect must not end the watch: the map would grow old in silence
                _log.exception("the map's watch failed; listing anew")
                relist = True
            delay_s = self._settings.backoff_min_s if self._connected else delay_s
            self._connected = False
            await asyncio.sleep(self._rng.uniform(0, delay_s))
            delay_s = min(delay_s * 2, self._settings.backoff_max_s)

    async def _relist(self) -> None:
        with no_collections():
            listing, revision = await read_listing(self._store, self.feed, timeout_s=self._settings.call_timeout_s)
            self.feed.replace(listing, revision)
        if listing.decoded >= LARGE_ENTRIES:
            settle()
        self.relists += 1
        metrics.MAP_RELISTS.inc()
        self.confirm()
        await self._check_version()

    async def _follow(self) -> None:
        start = self.feed.revision + 1
        async with self._store.watch(PREFIX, start_revision=start) as watch, self._tending.of(watch):
            async for signal in watch:
                self._take(signal)

    def _take(self, signal: Signal) -> None:
        self._tending.hear()
        match signal:
            case Started():
                # Its revision may be below ours: of a member that lags, or after a restore. Tending tells which.
                self._connected = True
                self.wake()  # who waits with a token of another epoch is told now whether it is wrong
            case Changes(events):
                if self.feed.new_history(events):
                    # We may have followed a restored store from a revision of the lost one, and so from a wrong place.
                    raise WatchCanceledError("the map has a new epoch")
                self.feed.apply(events)
            case Progress(revision, requested):
                if not requested:
                    self.feed.advance(revision)
        self.confirm()

    def _note_break(self) -> None:
        self.resumes += 1
        metrics.MAP_STREAM_BREAKS.inc()
        if self._connected:
            _log.warning("lost the control store's watch; the last map serves", revision=self.feed.revision)

    async def _check_version(self) -> None:
        if self._version_checked:
            return
        try:
            await self._store.check_version(timeout_s=self._settings.call_timeout_s)
        except StoreUnavailableError:
            return  # the next list checks again
        self._version_checked = True


@asynccontextmanager
async def watching(
    store: KeyValueStore, settings: WatchSettings | None = None, *, clock: Clock = MONOTONIC
) -> AsyncIterator[MapWatcher]:
    """Run a watcher of `store` for the duration of the context."""
    watcher = MapWatcher(store, settings, clock=clock)
    running = asyncio.create_task(watcher.run(), name="map-watcher")
    try:
        yield watcher
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def open_map_watcher(
    access: EtcdAccess | Sequence[str], settings: WatchSettings | None = None
) -> AsyncIterator[MapWatcher]:
    """Watch the etcd of `access`, or at plain endpoints (`host:port`). Does not wait for the first load; see
    `wait_ready` and `ready`.

    Raises ValueError for endpoints that are none, and OSError for TLS files that cannot be read.
    """
    async with open_etcd(access) as store, watching(store, settings) as watcher:
        yield watcher
