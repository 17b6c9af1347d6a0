"""A new epoch on a running watch: what the map has may belong to a history that was lost, so it is listed anew."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from trunkline_map.entries import EpochEntry
from trunkline_map.etcd import open_etcd
from trunkline_map.feed import Listing
from trunkline_map.keys import EPOCH_KEY
from trunkline_map.records import encode
from trunkline_map.store import Changes, Event, KeyValue, WatchCanceledError
from trunkline_map.watcher import MapWatcher

LISTED_AT = 10
KNOWN = encode(EpochEntry(b"12345678"))
RENEWED = encode(EpochEntry(b"restored"))


@pytest.fixture
async def watcher() -> AsyncIterator[MapWatcher]:
    """A watcher that listed a map without entries at revision 10; nothing is sent."""
    async with open_etcd(["127.0.0.1:1"]) as store:
        made = MapWatcher(store)
        listed(made, KNOWN)
        yield made


def listed(watcher: MapWatcher, epoch: bytes | None) -> None:
    listing = Listing(watcher.feed.snapshot)
    if epoch is not None:
        listing.add([KeyValue(EPOCH_KEY.encode(), epoch, 1)])
    watcher.feed.replace(listing, LISTED_AT)
    watcher.confirm()


def epoch_event(value: bytes | None, revision: int) -> Changes:
    return Changes((Event(EPOCH_KEY.encode(), value, revision),))


@pytest.mark.parametrize("value", [RENEWED, None], ids=["renewed", "removed"])
async def test_another_epoch_ends_the_watch(watcher: MapWatcher, value: bytes | None) -> None:
    """Nothing of it is taken over: the list that follows takes all at once, and reuses nothing."""
    with pytest.raises(WatchCanceledError):
        watcher._take(epoch_event(value, 11))

    assert (watcher.snapshot.epoch, watcher.feed.revision) == (b"12345678", LISTED_AT)


@pytest.mark.parametrize(
    ("value", "revision"), [(KNOWN, 11), (b"\xff", 11), (RENEWED, LISTED_AT)], ids=["same", "malformed", "old"]
)
async def test_what_renews_nothing_is_an_event_like_others(watcher: MapWatcher, value: bytes, revision: int) -> None:
    """The same epoch written again, one that cannot be read, and an event that is in already."""
    watcher._take(epoch_event(value, revision))

    assert watcher.snapshot.epoch == b"12345678"
    assert watcher.feed.revision == revision


async def test_the_first_epoch_of_a_new_store_is_taken_as_it_comes(watcher: MapWatcher) -> None:
    """A map without an epoch has no history to lose."""
    listed(watcher, None)
    watcher._take(epoch_event(RENEWED, 11))

    assert watcher.snapshot.epoch == b"restored"
