"""What runs beside a stream must not depend on who gets its turn first."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from trunkline_map.etcd import open_etcd
from trunkline_map.settings import WatchSettings
from trunkline_map.store import Signal
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
