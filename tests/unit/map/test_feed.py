"""What listings and events make of the map."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.map.strategies import ENTRIES

from trunkline.storage.v1 import map_records_pb2 as storage_pb
from trunkline_map.entries import Entry, EpochEntry
from trunkline_map.feed import Listing, MapFeed
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.records import encode
from trunkline_map.store import Event, KeyValue
from trunkline_map.testing import region, tenant

EPOCH = EpochEntry(b"12345678", 1)
STEPS = st.lists(st.tuples(ENTRIES, st.booleans()), max_size=30)


def put(entry: Entry, revision: int) -> Event:
    return Event(entry.key.encode(), encode(entry), revision)


def delete(key: MapKey, revision: int) -> Event:
    return Event(key.encode(), None, revision)


def history(steps: list[tuple[Entry, bool]]) -> list[Event]:
    """One change for each revision, from 2 on, after the epoch."""
    return [
        delete(entry.key, revision) if deletes else put(entry, revision)
        for revision, (entry, deletes) in enumerate(steps, start=2)
    ]


def listing_after(events: list[Event]) -> tuple[Listing, int]:
    """What the store would list once all events happened."""
    held = {EPOCH.key.encode(): KeyValue(EPOCH.key.encode(), encode(EPOCH), 1)}
    for event in events:
        held.pop(event.key, None)
        if event.value is not None:
            held[event.key] = KeyValue(event.key, event.value, event.mod_revision)
    listing = Listing(MapFeed().snapshot)
    listing.add(held[key] for key in sorted(held))
    return listing, events[-1].mod_revision if events else 1


def started(events: list[Event] | None = None) -> MapFeed:
    feed = MapFeed()
    feed.replace(*listing_after(events or []))
    return feed


def state(feed: MapFeed) -> object:
    return feed.revision, feed.snapshot.epoch, {e.key: e for e in feed.snapshot.entries()}, feed.revisions


@given(STEPS, st.integers(0, 30), st.integers(1, 4))
def test_a_listing_and_the_events_after_it_give_what_a_later_listing_gives(
    steps: list[tuple[Entry, bool]], listed: int, batch: int
) -> None:
    """Wherever the list is taken, and however events are batched, the map is the same."""
    events = history(steps)
    feed = started(events[:listed])

    rest = events[listed:]
    for start in range(0, len(rest), batch):
        feed.apply(rest[start : start + batch])

    assert state(feed) == state(started(events))


@given(STEPS, st.integers(0, 30))
def test_events_that_are_in_already_change_nothing(steps: list[tuple[Entry, bool]], again_from: int) -> None:
    """A stream that is resumed too early, or delivers twice, does no harm."""
    events = history(steps)
    feed = started(events)
    before = state(feed)

    feed.apply(events[again_from:])

    assert state(feed) == before


def test_events_of_one_revision_come_in_together() -> None:
    """A transaction is never seen in part."""
    feed = started()
    first, second = tenant("a", "eu"), tenant("b", "eu")

    feed.apply([put(first, 5), put(second, 5)])

    assert feed.revision == 5
    assert {each.tenant_id for each in feed.snapshot.tenants()} == {"a", "b"}


def test_a_malformed_value_leaves_the_last_good_entry() -> None:
    """The bad value is counted, the tenant goes on as it was."""
    feed = started([put(tenant("a", "eu"), 2)])
    key = MapKey(Kind.TENANT, "a").encode()

    feed.apply([Event(key, b"\xff\xff", 3)])

    assert feed.revision == 3
    assert feed.malformed == {key: 3}
    assert feed.snapshot.tenant("a") == replace(tenant("a", "eu"), revision=2)


def test_a_good_value_or_a_delete_ends_a_malformed_one() -> None:
    """The count tells what is wrong now."""
    key = MapKey(Kind.TENANT, "a").encode()
    feed = started()
    feed.apply([Event(key, b"\xff\xff", 3)])
    assert feed.snapshot.tenant("a") is None

    feed.apply([put(tenant("a", "us"), 4)])
    assert not feed.malformed

    feed.apply([Event(key, b"\xff\xff", 5), delete(MapKey(Kind.TENANT, "a"), 6)])
    assert not feed.malformed
    assert feed.snapshot.tenant("a") is None


def test_a_listing_keeps_the_last_good_entry_too() -> None:
    """Listing anew does not lose what a malformed value hides."""
    feed = started([put(region("eu", "eu"), 2)])
    listing = Listing(feed.snapshot)
    key = MapKey(Kind.REGION, "eu").encode()
    listing.add([KeyValue(EPOCH_KEY.encode(), encode(EPOCH), 1), KeyValue(key, b"\xff\xff", 7)])

    feed.replace(listing, 9)

    assert feed.malformed == {key: 7}
    assert feed.snapshot.region("eu") == replace(region("eu", "eu"), revision=2)


def test_keys_of_later_versions_are_followed_and_not_read() -> None:
    """They count for audits, and change nothing else."""
    feed = started()

    feed.apply([Event(b"/trunkline/v1/migrations/7", b"\xff", 4)])

    assert feed.revisions[b"/trunkline/v1/migrations/7"] == 4
    assert not feed.malformed
    assert feed.revision == 4


def test_a_missed_put_and_a_missed_delete_are_differences() -> None:
    """An audit finds what the watch did not deliver."""
    feed = started([put(tenant("a", "eu"), 2), put(tenant("b", "eu"), 3)])
    a, b, c = (MapKey(Kind.TENANT, name).encode() for name in "abc")
    with feed.remembering_deletes():
        listed = {a: 4, c: 5}

        assert feed.differs(a, listed, 6)
        assert feed.differs(b, listed, 6)
        assert feed.differs(c, listed, 6)


def test_what_happened_after_the_listing_is_no_difference() -> None:
    """Events overtake a listing that is being read; that is not a fault of the watch."""
    feed = started([put(tenant("a", "eu"), 2), put(tenant("b", "eu"), 3)])
    a, b, c = (MapKey(Kind.TENANT, name).encode() for name in "abc")
    listed = {a: 2, b: 3}
    with feed.remembering_deletes():
        feed.apply([put(tenant("a", "us"), 7), delete(MapKey(Kind.TENANT, "b"), 8), put(tenant("c", "us"), 9)])

        assert not any(feed.differs(key, listed, 3) for key in (a, b, c))


def test_progress_moves_the_revision_forward_only() -> None:
    """A lagging member's notice does not take the map back."""
    feed = started([put(tenant("a", "eu"), 4)])

    feed.advance(9)
    feed.advance(6)

    assert feed.revision == 9
    assert feed.snapshot.tenant("a") is not None


def test_a_state_of_a_newer_version_keeps_the_last_good_entry() -> None:
    """A region in a state that this version does not know is used as it was, counted and named."""
    feed = started([put(region("eu-west", "eu"), 2)])
    newer = storage_pb.RegionRecord.FromString(encode(region("eu-west", "eu")))
    newer.state = 77  # type: ignore[assignment]  # no enumerator of this version

    feed.apply([Event(region("eu-west", "eu").key.encode(), newer.SerializeToString(), 3)])

    kept = feed.snapshot.region("eu-west")
    assert kept is not None
    assert kept.revision == 2
    assert feed.malformed == {region("eu-west", "eu").key.encode(): 3}


def test_fields_of_a_newer_version_do_no_harm() -> None:
    """A value with more in it is read for what this version knows."""
    feed = started()

    feed.apply([Event(tenant("a", "eu").key.encode(), encode(tenant("a", "eu")) + b"\xf2\x06\x05later", 2)])

    assert feed.snapshot.tenant("a") == replace(tenant("a", "eu"), revision=2)
    assert feed.malformed == {}


def relisted(before: MapFeed, events: list[Event], *, reuse: bool, epoch: EpochEntry = EPOCH) -> Listing:
    """List what the store holds after `events` upon what `before` has."""
    held = {EPOCH.key.encode(): KeyValue(EPOCH.key.encode(), encode(epoch), 1)}
    for event in events:
        held.pop(event.key, None)
        if event.value is not None:
            held[event.key] = KeyValue(event.key, event.value, event.mod_revision)
    listing = Listing(before.snapshot, reuse=reuse)
    listing.add(held[key] for key in sorted(held))
    return listing


@given(STEPS, STEPS)
def test_a_list_that_reuses_entries_is_one_that_reads_them_all(
    first: list[tuple[Entry, bool]], then: list[tuple[Entry, bool]]
) -> None:
    """What did not change is kept, what changed is read, what is gone is gone."""
    events = history(first + then)
    before = started(events[: len(first)])
    end = events[-1].mod_revision if events else 1

    fed, anew = started(events[: len(first)]), started(events[: len(first)])
    fed.replace(relisted(before, events, reuse=True), end)
    anew.replace(relisted(before, events, reuse=False), end)

    assert state(fed) == state(anew)


def test_a_list_reads_only_what_changed() -> None:
    """The epoch is always read: it tells whether the entries are of this history."""
    events = [put(tenant("a", "eu"), 2), put(tenant("b", "eu"), 3)]
    before = started(events)

    listing = relisted(before, [*events, put(tenant("b", "us"), 4)], reuse=True)

    assert listing.decoded == 2
    assert listing.build(4).tenant("a") is before.snapshot.tenant("a")
    assert not listing.foreign()


def test_entries_of_another_history_are_not_kept() -> None:
    """A restored store may have other values at the same revisions."""
    events = [put(tenant("a", "eu"), 2)]

    assert relisted(started(events), events, reuse=True, epoch=EpochEntry(b"restored")).foreign()
