"""What runs beside a stream must not depend on who gets its turn first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from trunkline_map.etcd import open_etcd
from trunkline_map.settings import WatchSettings
from trunkline_map.store import ReadResult, Signal
from trunkline_map.tending import Tending
from trunkline_map.watcher import MapWatcher

SETTINGS = WatchSettings(silence_s=0.05, progress_every_s=0.01, call_timeout_s=30)


class ScriptedWatch:
    """A stream that answers requests for a sign of life, or does not."""

    def __init__(self) -> None:
        self.tending: Tending | None = None
        self.aborted = asyncio.Event()
        self.asked = asyncio.Event()

    async def request_progress(self) -> None:
        self.asked.set()
        if self.tending is not None:
            self.tending.hear()

    def abort(self) -> None:
        self.aborted.set()

    async def __aiter__(self) -> AsyncIterator[Signal]:
        await self.aborted.wait()
        return
        yield


class QuietTending(Tending):
    """Without the questions that need a store."""

    async def _compare_histories(self, _watch: object) -> None:
        return


@pytest.fixture
async def tending() -> AsyncIterator[Tending]:
    async with open_etcd(["127.0.0.1:1"]) as store:  # nothing is sent
        yield QuietTending(MapWatcher(store), store, SETTINGS, random.Random(1))


async def test_a_first_signal_before_the_companions_turn_counts(tending: Tending) -> None:
    """Else a quiet stream that started well would be given up after the silence allowed."""
    watch = ScriptedWatch()
    watch.tending = tending

    async with tending.of(watch):
        tending.hear()  # the start arrives before any companion ran
        await asyncio.wait_for(watch.asked.wait(), 20)

        assert not watch.aborted.is_set()


async def test_a_stream_that_never_starts_is_given_up(tending: Tending) -> None:
    """Connected and silent from the first."""
    watch = ScriptedWatch()

    async with tending.of(watch):
        await asyncio.wait_for(watch.aborted.wait(), 20)


async def test_a_stream_that_falls_silent_is_given_up(tending: Tending) -> None:
    """It started, and the sign of life that is asked for does not come."""
    watch = ScriptedWatch()

    async with tending.of(watch):
        tending.hear()
        await asyncio.wait_for(watch.aborted.wait(), 20)

        assert watch.asked.is_set()


class JumpingClock:
    """Each look at it finds a minute more: the process was stopped in between."""

    now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 60.0
        return self.now_s


async def stopped_and_resumed(watch: ScriptedWatch) -> Tending:
    settings = WatchSettings(pause_check_s=0.01, pause_silence_s=0.05, call_timeout_s=30)
    async with open_etcd(["127.0.0.1:1"]) as store:  # nothing is sent
        return QuietTending(MapWatcher(store), store, settings, random.Random(1), JumpingClock())


async def test_after_a_pause_of_this_process_a_dead_stream_is_given_up_soon() -> None:
    """Long before the next regular sign of life would have been asked for."""
    watch = ScriptedWatch()
    tending = await stopped_and_resumed(watch)

    async with tending.of(watch):
        tending.hear()
        await asyncio.wait_for(watch.aborted.wait(), 20)

    assert watch.asked.is_set()


async def test_after_a_pause_of_this_process_a_stream_that_lives_is_kept() -> None:
    """It answers, and nothing is lost or read anew."""
    watch = ScriptedWatch()
    watch.tending = tending = await stopped_and_resumed(watch)

    async with tending.of(watch):
        tending.hear()
        for _ in range(3):
            watch.asked.clear()
            await asyncio.wait_for(watch.asked.wait(), 20)

        assert not watch.aborted.is_set()


class BehindStore:
    """A store that is at revision 10, and has something newer than any stream brings."""

    async def read(self, _keys: object, *, timeout_s: float) -> ReadResult:
        return ReadResult({}, 10)

    async def quiet_since(self, _prefix: bytes, _revision: int, *, keys: int, timeout_s: float) -> int | None:
        return None


async def test_a_stream_that_does_not_bring_what_the_store_has_is_given_up() -> None:
    """Its member may be frozen or cut off; whoever waits with a token should not wait for that to be noticed."""
    settings = WatchSettings(catch_up_every_s=0.01, lag_s=0.02)
    watch = ScriptedWatch()
    async with open_etcd(["127.0.0.1:1"]) as unused:  # nothing is sent
        behind: Any = BehindStore()
        tending = QuietTending(MapWatcher(unused), behind, settings, random.Random(1))
    tending.want(9)

    async with tending.of(watch):
        tending.hear()
        await asyncio.wait_for(watch.aborted.wait(), 20)
    assert not tending.take_relist()

    tending.want(9)
    again = ScriptedWatch()
    async with tending.of(again):
        tending.hear()
        await asyncio.wait_for(again.aborted.wait(), 20)
    assert tending.take_relist(), "two streams stopped at the same revision: the map itself may be wrong"


async def test_the_store_is_not_asked_for_what_has_come_or_never_will() -> None:
    """A map of 100,000 keys makes the question costly: only a wait that goes on, for what exists, is worth it."""
    asked = asyncio.Event()

    class CountingStore(BehindStore):
        async def read(self, _keys: object, *, timeout_s: float) -> ReadResult:
            asked.set()
            return ReadResult({}, 10)

        async def quiet_since(self, _prefix: bytes, revision: int, *, keys: int, timeout_s: float) -> int | None:
            raise AssertionError(f"asked what came after {revision}")

    watch = ScriptedWatch()
    async with open_etcd(["127.0.0.1:1"]) as unused:  # nothing is sent
        watcher, counting = MapWatcher(unused), cast("Any", CountingStore())
        settings = WatchSettings(catch_up_every_s=0.01)
        tending = QuietTending(watcher, counting, settings, random.Random(1))
    watcher.feed.advance(7)

    async with tending.of(watch):
        tending.hear()
        tending.want(7)
        await asyncio.sleep(0.05)
        assert not asked.is_set()
        tending.want(99)
        await asyncio.wait_for(asked.wait(), 20)

        assert not watch.aborted.is_set()
