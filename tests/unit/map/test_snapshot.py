"""Snapshots never change, and changes applied to them give what building anew gives."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.map.strategies import ENTRIES

from trunkline_map.entries import Entry, EpochEntry
from trunkline_map.keys import EPOCH_KEY, Kind, MapKey
from trunkline_map.snapshot import EMPTY_MAP, Change, MapSnapshot, SnapshotBuilder
from trunkline_map.testing import collection, region, space, static_map, static_snapshot, tenant

CHANGES = st.lists(
    st.one_of(
        ENTRIES.map(lambda entry: Change(entry.key, entry)),
        ENTRIES.map(lambda entry: Change(entry.key, None)),
    ),
    max_size=30,
)


def content(snapshot: MapSnapshot) -> dict[MapKey, Entry]:
    return {entry.key: entry for entry in snapshot.entries()}


def expected_after(changes: list[Change]) -> dict[MapKey, Entry]:
    """The plainest model of a map: one dict."""
    model: dict[MapKey, Entry] = {}
    for change in changes:
        model.pop(change.key, None)
        if change.entry is not None:
            model[change.key] = change.entry
    return model


@given(CHANGES, st.integers(1, 5))
def test_changes_in_batches_give_what_one_dict_would_hold(changes: list[Change], batch_size: int) -> None:
    """How changes are cut into batches does not matter, only their order does."""
    snapshot = EMPTY_MAP
    for start in range(0, len(changes), batch_size):
        snapshot = snapshot.applying(changes[start : start + batch_size], revision=start + 1)

    assert content(snapshot) == expected_after(changes)


@given(CHANGES)
def test_every_lookup_agrees_with_the_content(changes: list[Change]) -> None:
    """Point lookups and lists are views of the same entries."""
    snapshot = EMPTY_MAP.applying(changes, revision=9)

    for key, entry in expected_after(changes).items():
        assert snapshot.entry(key) == entry
    for change in changes:
        if change.key not in content(snapshot):
            assert snapshot.entry(change.key) is None
    for name in {entry.key.name for entry in snapshot.entries() if entry.key.kind is Kind.COLLECTION}:
        listed = snapshot.collections_of(name)
        assert [each.collection_id for each in listed] == sorted(each.collection_id for each in listed)
        assert all(snapshot.collection(name, each.collection_id) is each for each in listed)


@given(CHANGES, CHANGES)
def test_a_snapshot_stays_as_it_was(before: list[Change], after: list[Change]) -> None:
    """A reader that holds a snapshot sees none of the later changes."""
    snapshot = EMPTY_MAP.applying(before, revision=1)
    held = content(snapshot)

    snapshot.applying(after, revision=2)

    assert content(snapshot) == held
    assert snapshot.revision == 1


DISTINCT: list[Entry] = [tenant("a", "eu"), tenant("b", "us"), region("eu", "eu"), space()]


@given(st.permutations(range(len(DISTINCT))))
def test_changes_of_different_keys_commute(order: list[int]) -> None:
    """The order of application matters within one key only."""
    shuffled: list[Entry] = [DISTINCT[index] for index in order]

    assert content(static_snapshot(*shuffled)) == content(static_snapshot(*DISTINCT))


def test_a_change_shares_what_it_does_not_touch() -> None:
    """One change among many tenants copies one bucket of 256, not the map."""
    before = static_snapshot(*(tenant(f"t{number}", "eu") for number in range(5000)))
    changed = tenant("t7", "us")

    after = before.applying([Change(changed.key, changed)], revision=2)

    shared = sum(old is new for old, new in zip(before._buckets, after._buckets, strict=True))
    assert shared == 255
    assert after.tenant("t7") == changed


def test_an_emptied_tenant_leaves_nothing_behind() -> None:
    """Tenants that come and go do not make the map grow."""
    entries: list[Entry] = [tenant("a", "eu"), collection("a", "docs", ["eu"], ["eu"])]
    snapshot = static_snapshot(*entries)

    after = snapshot.applying([Change(entry.key, None) for entry in entries], revision=2)

    assert not any(after._buckets)


def test_collections_of_two_tenants_do_not_meet() -> None:
    """A tenant's list holds its own only, whatever the names."""
    snapshot = static_map(
        collection("a", "docs", ["eu"], ["eu"]), collection("ab", "docs", ["us"], ["us"]), tenant("c", "eu")
    ).snapshot

    assert [each.tenant_id for each in snapshot.collections_of("a")] == ["a"]
    assert snapshot.collections_of("c") == ()
    assert snapshot.collection("a", "other") is None


def test_physical_names_follow_the_layout() -> None:
    """A dedicated collection has a name of its own, a shared one that of its shard."""
    dedicated = collection("acme", "docs", ["eu"], ["eu"], dedicated=True)
    shared = collection("acme", "docs", ["eu"], ["eu"], shard=3)

    assert dedicated.physical_name == "c_acme_docs"
    assert shared.physical_name == "shard_minilm_3"


def test_the_epoch_is_part_of_the_map() -> None:
    """A map has a token as soon as it has an epoch, and none before."""
    builder = SnapshotBuilder()
    assert builder.build(4).token == b""

    builder.put(EpochEntry(b"12345678"))
    snapshot = builder.build(4)

    assert snapshot.token
    assert snapshot.applying([Change(EPOCH_KEY, None)], revision=5).epoch == b""
