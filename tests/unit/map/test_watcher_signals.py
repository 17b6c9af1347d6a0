"""What each signal of a watch does to the map, its age and its resume point."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import pytest

from trunkline_map.entries import EpochEntry
from trunkline_map.etcd import open_etcd
from trunkline_map.feed import Listing
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.records import encode
from trunkline_map.store import Changes, Event, KeyValue, Progress, Started
from trunkline_map.testing import tenant
from trunkline_map.watcher import MapWatcher

LISTED_AT = 10


class ManualClock:
    """Time that a test moves."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def watcher(clock: ManualClock) -> AsyncIterator[MapWatcher]:
    """A watcher that listed an empty map at revision 10; nothing is sent."""
    async with open_etcd(["127.0.0.1:1"]) as store:
        made = MapWatcher(store, clock=clock)
        listing = Listing(made.feed.snapshot)
        listing.add([KeyValue(EPOCH_KEY.encode(), encode(EpochEntry(b"12345678")), 1)])
        made.feed.replace(listing, LISTED_AT)
        made.confirm()
        yield made


def change(revision: int) -> Changes:
    entry = tenant("acme", "eu")
    return Changes((Event(entry.key.encode(), encode(entry), revision),))


async def test_every_signal_confirms_the_map(watcher: MapWatcher, clock: ManualClock) -> None:
    """The age counts from the last answer, whatever it said."""
    for signal in (Started(LISTED_AT), change(11), Progress(11, True), Progress(11, False)):
        clock.now_s += 7
        assert watcher.age_s() == 7
        watcher._take(signal)
        assert watcher.age_s() == 0


async def test_events_move_the_resume_point(watcher: MapWatcher) -> None:
    """To their own revision, and the map is published at once."""
    watcher._take(change(12))

    assert watcher.feed.revision == 12
    assert watcher.snapshot.tenant("acme") is not None


async def test_the_start_does_not_move_the_resume_point(watcher: MapWatcher) -> None:
    """Events up to its revision may still be on their way: skipping them would lose them."""
    watcher._take(Started(99))

    assert watcher.connected()
    assert watcher.feed.revision == LISTED_AT


async def test_requested_progress_does_not_move_the_resume_point(watcher: MapWatcher) -> None:
    """Before etcd 3.5.8 it may overtake events; it is a sign of life and no more."""
    watcher._take(Progress(99, True))

    assert watcher.feed.revision == LISTED_AT


async def test_unrequested_progress_moves_the_resume_point(watcher: MapWatcher) -> None:
    """etcd sends it only when everything before was delivered."""
    watcher._take(Progress(99, False))

    assert watcher.feed.revision == 99
    assert watcher.snapshot.revision == 99


async def test_a_member_that_lags_is_no_reason_to_list_anew(watcher: MapWatcher) -> None:
    """Its stream begins behind our revision and gives what comes after it; a linearizable read finds a restored one."""
    watcher._take(Started(LISTED_AT - 1))
    watcher._take(change(LISTED_AT))
    assert watcher.snapshot.tenant("acme") is None
    watcher._take(change(LISTED_AT + 1))

    assert watcher.snapshot.tenant("acme") is not None


async def test_a_clock_that_is_set_changes_no_age(watcher: MapWatcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The age is counted on the monotonic clock, which nobody sets."""
    age_s = watcher.age_s()
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert watcher.age_s() == age_s


async def test_malformed_entries_are_named(watcher: MapWatcher) -> None:
    """By their keys, for whoever has to mend them, until they are mended or removed."""
    for revision, name in enumerate(["b", "a"], start=11):
        key = MapKey(Kind.TENANT, name).encode()
        watcher._take(Changes((Event(key, b"\xff", revision),)))

    assert watcher.feed.malformed == {b"/trunkline/v1/tenants/b": 11, b"/trunkline/v1/tenants/a": 12}
    watcher._take(Changes((Event(MapKey(Kind.TENANT, "a").encode(), None, 20),)))
    assert list(watcher.feed.malformed) == [b"/trunkline/v1/tenants/b"]
