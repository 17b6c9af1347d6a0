"""What runs beside a watch stream: asking for signs of life, comparing with the store, helping those who wait."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Protocol

from trunkline_map import metrics
from trunkline_map.feed import MapFeed
from trunkline_map.keys import EPOCH_KEY, PREFIX
from trunkline_map.settings import WatchSettings
from trunkline_map.store import KeyValueStore, StoreCompactedError, StoreError, StoreUnavailableError, Watch
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.logs import get_logger

_log = get_logger(__name__)

_EPOCH = EPOCH_KEY.encode()

_SCAN_KEYS = 2500
"""Keys listed or compared before the event loop gets its turn: a few milliseconds."""


class _StreamLagsError(StoreError):
    """The stream does not bring what the store has."""


class Tended(Protocol):
    """What tending needs of the watcher."""

    feed: MapFeed

    def confirm(self) -> None:
        """Note that the store spoke, and publish what it said."""


class Tending:
    """Companions of one watch stream at a time."""

    def __init__(
        self,
        watcher: Tended,
        store: KeyValueStore,
        settings: WatchSettings,
        rng: random.Random,
        clock: Clock = MONOTONIC,
    ) -> None:
        """Serve `watcher`."""
        self._wanted = asyncio.Event()
        self._wanted_revision = 0
        self._heard = 0
        self._hearing = asyncio.Event()
        self._relist = False
        self._lagged_at = -1
        self._watcher = watcher
        self._store = store
        self._settings = settings
        self._rng = rng
        self._clock = clock

    def hear(self) -> None:
        """Note a signal of the stream."""
        self._heard += 1
        self._hearing.set()
        self._hearing = asyncio.Event()

    def want(self, revision: int) -> None:
        """Note that somebody waits for a revision; the least one that is still ahead counts, so that no token of a
        future that never comes hides another.
        """
        if self._wanted_revision <= self._watcher.feed.revision or revision < self._wanted_revision:
            self._wanted_revision = revision
        self._wanted.set()

    def take_relist(self) -> bool:
        """Return True, once, if the map was found to differ and must be listed anew."""
        relist, self._relist = self._relist, False
        return relist

    @asynccontextmanager
    async def of(self, watch: Watch) -> AsyncIterator[None]:
        """Run the companions while the stream is read. When one of them fails, the stream is given up."""
        # Counted before the stream is read: its first signal may come before the companions get their turn.
        companions = asyncio.create_task(self._run(watch, self._heard), name="map-watch-companions")
        try:
            yield
        finally:
            companions.cancel()
            await asyncio.gather(companions, return_exceptions=True)

    async def _run(self, watch: Watch, heard: int) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._ask_for_life(watch, heard))
                group.create_task(self._compare_histories(watch))
                group.create_task(self._audit_now_and_then(watch))
                group.create_task(self._help_waiters())
                group.create_task(self._notice_pauses(watch))
        except* StoreError:
            _log.warning("the map's watch stream is silent or broken; resuming on another")
        except* Exception:  # noqa: BLE001 - logged; the stream is given up below, which heals
            _log.exception("a companion of the map's watch failed; resuming on another stream")
        finally:
            watch.abort()

    async def _ask_for_life(self, watch: Watch, heard: int) -> None:
        await self._expect_life(heard, self._settings.silence_s)
        while True:
            await asyncio.sleep(self._settings.progress_every_s * self._rng.uniform(0.8, 1.0))
            heard = self._heard
            await watch.request_progress()
            await self._expect_life(heard, self._settings.silence_s)

    async def _notice_pauses(self, watch: Watch) -> None:
        """Ask for life at once after this process stood still: stopped, swapped out, or starved of processor time.

        What is between us and the store may have forgotten the connection meanwhile, and tells nobody.
        """
        while True:
            before_s = self._clock()
            await asyncio.sleep(self._settings.pause_check_s)
            stood_still_s = self._clock() - before_s - self._settings.pause_check_s
            if stood_still_s >= self._settings.pause_s:
                _log.warning("this process stood still; asking for the watch's life", seconds=round(stood_still_s, 1))
                heard = self._heard
                await watch.request_progress()
                await self._expect_life(heard, self._settings.pause_silence_s)

    async def _expect_life(self, heard: int, within_s: float) -> None:
        if not await self._next_signal(heard, Deadline.after(within_s)):
            raise StoreUnavailableError("the watch stream is silent")

    async def _next_signal(self, heard: int, limit: Deadline) -> bool:
        """Wait until the stream has spoken since `heard`; return False at the limit."""
        hearing = self._hearing
        if self._heard != heard:
            return True
        try:
            async with asyncio.timeout(limit.remaining_s()):
                await hearing.wait()
        except TimeoutError:
            return False
        return True

    async def _compare_histories(self, watch: Watch) -> None:
        """List anew if the store is behind our revision or has another epoch: ours belongs to another history then.

        A store restored from a backup may have grown beyond our revision before we came back: the watch alone would
        go on as if nothing had happened. The read is linearizable, so a member that only lags does not count.
        """
        ours = self._watcher.feed.revision
        found = await self._store.read([_EPOCH], timeout_s=self._settings.call_timeout_s)
        if found.revision < ours or not self._watcher.feed.same_epoch(found.items.get(_EPOCH)):
            self._relist = True
            watch.abort()

    async def _help_waiters(self) -> None:
        """Move on to the revision that somebody waits for when the store shows that it changes nothing of ours.

        Keys of others share etcd's revision, so no event may ever come for it. If the store does have a change, and the
        stream does not bring it, the stream is given up: its member may be frozen, or cut off from the others.
        """
        while True:
            await self._wanted.wait()
            # Most waits end within this pause by the event itself; it also bounds what a wrong token can cost.
            await asyncio.sleep(self._settings.catch_up_every_s)
            self._wanted.clear()
            if self._wanted_revision <= self._watcher.feed.revision:
                continue
            try:
                await self._help_one(self._wanted_revision)
            except StoreUnavailableError:
                self._wanted.set()  # whoever waits still does

    async def _help_one(self, wanted: int) -> None:
        feed, heard, timeout_s = self._watcher.feed, self._heard, self._settings.call_timeout_s
        revision = feed.revision
        # Cheap, unlike the question below, for which a store of 100,000 keys reads them all.
        if (await self._store.read([_EPOCH], timeout_s=timeout_s)).revision < wanted:
            return  # nobody has been there yet: such a token was never given out
        quiet = await self._store.quiet_since(PREFIX, revision, keys=len(feed.revisions), timeout_s=timeout_s)
        if feed.revision != revision:
            return
        if quiet is not None:
            feed.advance(quiet)
            self._watcher.confirm()
        elif not await self._next_signal(heard, Deadline.after(self._settings.lag_s)):
            self._give_up_lagging(revision)

    def _give_up_lagging(self, revision: int) -> None:
        """Raise _StreamLagsError. If the stream before stopped at the same revision, have the map listed anew."""
        self._relist = self._relist or self._lagged_at == revision
        self._lagged_at = revision
        raise _StreamLagsError("the watch stream lags behind its store")

    async def _audit_now_and_then(self, watch: Watch) -> None:
        while True:
            await asyncio.sleep(self._settings.audit_every_s * self._rng.uniform(0.8, 1.2))
            try:
                differences = await self.audit()
            except (StoreUnavailableError, StoreCompactedError):
                continue
            metrics.MAP_AUDITS.inc()
            if differences:
                metrics.MAP_AUDIT_DIFFS.inc(differences)
                _log.error("the map differed from the control store; listing anew", count=differences)
                self._relist = True
                watch.abort()

    async def audit(self) -> int:
        """Compare every key with the store; return how many differ although their events had time to arrive."""
        feed = self._watcher.feed
        with feed.remembering_deletes():
            listed, at_revision = await self._list_revisions()
            suspects = await self._suspects(listed, at_revision)
            settled = Deadline.after(self._settings.audit_settle_s)
            while suspects and not settled.expired():
                await self._next_signal(self._heard, settled)
                suspects = [key for key in suspects if feed.differs(key, listed, at_revision)]
            if not suspects:
                # Equal in every key: whatever lies between was none of ours.
                feed.advance(at_revision)
                self._watcher.confirm()
            return len(suspects)

    async def _list_revisions(self) -> tuple[dict[bytes, int], int]:
        listed: dict[bytes, int] = {}
        after, revision, more = b"", 0, True
        while more:
            page = await self._store.list_page(
                PREFIX,
                after=after,
                revision=revision,
                limit=_SCAN_KEYS,
                keys_only=True,
                timeout_s=self._settings.call_timeout_s,
            )
            listed.update((item.key, item.mod_revision) for item in page.items)
            revision, more = page.revision, page.more and bool(page.items)
            after = page.items[-1].key if page.items else after
        return listed, revision

    async def _suspects(self, listed: Mapping[bytes, int], at_revision: int) -> list[bytes]:
        feed = self._watcher.feed
        suspects: list[bytes] = []
        # Both are fixed at once; what changes while the event loop has its turn is told by `differs`.
        gone = (key for key in tuple(feed.revisions) if key not in listed)
        for keys in (iter(tuple(listed)), gone):
            while chunk := tuple(islice(keys, _SCAN_KEYS)):
                suspects += (key for key in chunk if feed.differs(key, listed, at_revision))
                await asyncio.sleep(0)
        return suspects
