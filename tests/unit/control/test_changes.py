"""Changes made together, each with its account, or not at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, furnish, new_collection, new_region, soon, use_cases

from trunkline_map.entries import EpochEntry, RegionState
from trunkline_map.keys import CONTROL_PREFIX, EPOCH_KEY, Kind, MapKey, parse_history_key
from trunkline_map.token import decode
from trunkline_mesh.errors import (
    ApprovalInvalid,
    EntryInUse,
    FieldInvalid,
    ImportOutOfOrder,
    LastAllowedRegion,
    RegionUnknown,
    RevisionConflict,
)
from trunkline_routing.control.change_lists import read_change
from trunkline_routing.control.how import Approved, How
from trunkline_routing.control.map_state import PLACEMENTS_FENCE, ControlChange, MapState, Plan, Prepared

DRY = replace(OPERATOR, dry_run=True)


def history(store: MemoryStore) -> list[tuple[str, str, int]]:
    """Path, author and revision of each change, in the order of the keys."""
    changes = [read_change(item) for key, item in sorted(store.state().items()) if parse_history_key(key)]
    return [(change.key.path, change.record.actor, change.revision) for change in changes if change]


async def test_changes_are_made_in_one_transaction_with_their_accounts() -> None:
    """Several entries, one revision, one record for each."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-west")
    commits = store.commits

    change = await side.maps.change(
        [side.collections.prepare_put(new_collection(name, "eu-west"), OPERATOR, soon()) for name in ("a", "b")],
        OPERATOR,
        soon(),
    )

    assert store.commits == commits + 1
    assert {entry.revision for entry in change.entries.values()} == {change.revision}
    assert decode(change.token).revision == change.revision
    made = [(path, revision) for path, _, revision in history(store) if path.startswith("collections/")]
    assert made == [("collections/acme/a", change.revision), ("collections/acme/b", change.revision)]


async def test_later_changes_of_a_transaction_see_the_earlier_ones() -> None:
    """A region and what is placed in it come together; one that is used by then is not removed."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-west")
    placed = side.collections.prepare_put(new_collection("a", "eu-new"), OPERATOR, soon())
    made = side.regions.prepare_put(new_region("eu-new"), OPERATOR, soon())

    with pytest.raises(RegionUnknown):
        await side.maps.change([placed, made], OPERATOR, soon())
    await side.maps.change([made, placed], OPERATOR, soon())
    used = side.collections.prepare_put(new_collection("b", "eu-west"), OPERATOR, soon())
    with pytest.raises(EntryInUse):
        await side.maps.change([used, side.regions.prepare_delete("eu-west", 0, OPERATOR, soon())], OPERATOR, soon())
    gone = side.collections.prepare_delete("acme", "a", 0, OPERATOR)
    await side.maps.change([gone, side.regions.prepare_delete("eu-new", 0, OPERATOR, soon())], OPERATOR, soon())


async def test_a_transaction_does_not_take_both_of_a_collections_regions() -> None:
    """Each alone would be harmless."""
    side = use_cases(MemoryStore())
    await furnish(side, "eu-a", "eu-b")
    await side.collections.put(new_collection("docs", "eu-a", "eu-b"), OPERATOR, soon())
    regions = [(await side.regions.get(name, soon()))[0] for name in ("eu-a", "eu-b")]
    down = [side.regions.prepare_put(replace(each, state=RegionState.DOWN), OPERATOR, soon()) for each in regions]

    with pytest.raises(LastAllowedRegion) as refused:
        await side.maps.change(down, OPERATOR, soon())

    assert refused.value.metadata == {"usedBy": "acme/docs", "count": "1"}
    await side.maps.change(down[:1], OPERATOR, soon())


async def test_a_dry_run_checks_everything_and_writes_nothing() -> None:
    """The answer is what the change would give, with the token of the state that it was checked against."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-west")
    before = store.state()

    entry, token = await side.collections.put(new_collection("docs", "eu-west"), DRY, soon())

    assert (entry.jurisdictions, entry.revision) == (frozenset({"eu"}), 0)
    assert decode(token).revision == store.revision
    with pytest.raises(RegionUnknown):
        await side.collections.put(new_collection("docs", "nowhere"), DRY, soon())
    assert store.state() == before
    await side.collections.put(new_collection("docs", "eu-west"), OPERATOR, soon())
    with pytest.raises(LastAllowedRegion):
        await side.regions.drain("eu-west", DRY, soon())


async def test_nothing_to_change_is_no_change() -> None:
    """An empty plan writes nothing, and tells the state that it was decided upon."""
    store = MemoryStore()
    side = use_cases(store)
    await side.maps.ensure_epoch(soon())

    async def decide(_state: MapState) -> Plan:
        return Plan()

    change = await side.maps.change([Prepared(MapKey(Kind.REGION, "r"), [], decide)], OPERATOR, soon())

    assert change.revision == store.revision
    assert not history(store)


async def test_one_entry_is_changed_once_in_a_transaction() -> None:
    """Which of two changes would hold?"""
    side = use_cases(MemoryStore())
    same = [side.regions.prepare_put(new_region("r", name), OPERATOR, soon()) for name in ("eu", "us")]

    with pytest.raises(FieldInvalid):
        await side.maps.change(same, OPERATOR, soon())


async def test_more_than_a_transaction_holds_is_refused() -> None:
    """Before anything is read or written."""
    store = MemoryStore()
    side = use_cases(store)
    await side.maps.ensure_epoch(soon())
    many = [side.regions.prepare_put(new_region(f"r-{number}"), OPERATOR, soon()) for number in range(40)]

    for how in (OPERATOR, DRY):
        with pytest.raises(FieldInvalid):
            await side.maps.change(many, how, soon())

    assert not history(store)


async def test_keys_beside_the_map_change_with_it_or_nothing_does() -> None:
    """For example how far an import has come."""
    store = MemoryStore()
    side = use_cases(store)
    key = CONTROL_PREFIX + b"imports/one"
    first = ControlChange(compares={key: 0}, puts={key: b"1"}, conflict=ImportOutOfOrder)

    await side.maps.change([side.regions.prepare_put(new_region("a"), OPERATOR, soon())], OPERATOR, soon(), also=first)

    assert store.state()[key].value == b"1"
    with pytest.raises(ImportOutOfOrder):
        await side.maps.change(
            [side.regions.prepare_put(new_region("b"), OPERATOR, soon())], OPERATOR, soon(), also=first
        )
    assert MapKey(Kind.REGION, "b").encode() not in store.state()


async def test_an_approval_is_used_up_by_its_change() -> None:
    """Whose approver the account names; without it there the change is not made."""
    store = MemoryStore()
    side = use_cases(store)
    key = CONTROL_PREFIX + b"approvals/one"
    await side.maps.change(
        [side.regions.prepare_put(new_region("a"), OPERATOR, soon())],
        OPERATOR,
        soon(),
        also=ControlChange({key: 0}, {key: b""}),
    )
    how = replace(OPERATOR, approved=Approved("one", "otto", key, store.revision))

    await side.maps.change([side.regions.prepare_put(new_region("b"), how, soon())], how, soon())

    assert key not in store.state()
    [item] = [item for path, item in store.state().items() if b"history/regions/b/" in path]
    change = read_change(item)
    assert change is not None
    assert (change.record.approval_id, change.record.approver) == ("one", "otto")
    with pytest.raises(ApprovalInvalid):
        await side.maps.change([side.regions.prepare_put(new_region("c"), how, soon())], how, soon())


async def test_an_account_tells_who_what_and_from_what_to_what() -> None:
    """For creation, change and removal."""
    store = MemoryStore()
    side = use_cases(store)
    how = How("anna", ("admin", "operator"), request_id="r-7", method="/x", comment="why")
    first, _ = await side.regions.put(new_region("r", "eu"), how, soon())
    second, _ = await side.regions.put(replace(first, jurisdiction="us"), how, soon())
    await side.regions.delete("r", second.revision, how, soon())

    changes = [read_change(item) for key, item in sorted(store.state().items()) if parse_history_key(key)]

    told = [(change.before, change.after) for change in changes if change]
    assert told == [(None, first), (replace(first, revision=0), second), (replace(second, revision=0), None)]
    record = changes[0].record if changes[0] else None
    assert record is not None
    assert (record.actor, list(record.roles), record.request_id) == ("anna", ["admin", "operator"], "r-7")
    assert (record.method, record.comment, record.entry_key) == ("/x", "why", "regions/r")
    assert record.change_time.ToSeconds() == 1_700_000_000


async def test_a_new_epoch_is_told_by_the_changes_token() -> None:
    """Tokens of the one before are worth nothing by then."""
    store = MemoryStore()
    side = use_cases(store)
    await side.maps.ensure_epoch(soon())

    async def decide(_state: MapState) -> Plan:
        return Plan(puts=[EpochEntry(b"renewed!")])

    change = await side.maps.change([Prepared(EPOCH_KEY, [EPOCH_KEY], decide)], OPERATOR, soon())

    assert decode(change.token).epoch == b"renewed!" == await side.maps.ensure_epoch(soon())
    assert [path for path, _, _ in history(store)] == ["epoch"]


async def test_a_decision_upon_a_folder_is_made_anew_more_often() -> None:
    """Others may write there all the time, and each time one of them gets through."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-a", "eu-b")
    await side.collections.put(new_collection("docs", "eu-a", "eu-b"), OPERATOR, soon())
    left = 8

    async def write() -> None:
        nonlocal left
        left -= 1
        await side.collections.put(new_collection(f"c-{left}", "eu-b"), OPERATOR, soon())
        store.meanwhile = write if left else None

    store.meanwhile = write
    entry, _ = await side.regions.drain("eu-a", OPERATOR, soon())

    assert (entry.state, left) == (RegionState.DRAINING, 0)


async def test_a_change_overtaken_again_and_again_is_told() -> None:
    """Three times for entries that it reads."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-a")
    left = 3

    async def write() -> None:
        nonlocal left
        left -= 1
        current, _ = await side.regions.get("eu-a", soon())
        await side.regions.put(current, OPERATOR, soon())
        store.meanwhile = write if left else None

    store.meanwhile = write
    with pytest.raises(RevisionConflict):
        await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())


async def test_every_transaction_that_puts_a_collection_raises_the_fence() -> None:
    """By which region-wide acts know that none was put since they looked; other changes leave it."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-a")
    assert PLACEMENTS_FENCE not in store.state()

    entry, _ = await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    assert store.state()[PLACEMENTS_FENCE].mod_revision == entry.revision
    await side.collections.delete("acme", "docs", 0, OPERATOR, soon())
    await side.regions.delete("eu-a", 0, OPERATOR, soon())

    assert store.state()[PLACEMENTS_FENCE].mod_revision == entry.revision
