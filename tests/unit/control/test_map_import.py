"""Notes of imports: repeats, forgetting, and other processes, over a store in memory."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, WallClock, furnish, new_collection, soon, use_cases

from trunkline_map.entries import CollectionEntry
from trunkline_map.keys import IMPORTS, Kind, MapKey, folder
from trunkline_map.store import Transaction
from trunkline_mesh.errors import ImportOutOfOrder, ImportUnknown, MapUnwritable, RegionUnknown
from trunkline_routing.control import import_notes
from trunkline_routing.control.map_import import Batch, Imports, Put, Removal


def imports_of(store: MemoryStore, clock: WallClock) -> Imports:
    """Imports as one process makes them."""
    side = use_cases(store, now=clock)
    return Imports(side.maps, side.regions, side.spaces, side.tenants, side.collections)


def batch(number: int, *changes: Put | Removal, import_id: str = "i", digest: bytes = b"") -> Batch:
    return Batch(import_id, number, changes, digest or repr(changes).encode())


def names(store: MemoryStore) -> Sequence[str]:
    """Collections that are there."""
    prefix = folder(Kind.COLLECTION, "acme")
    return sorted(key[len(prefix) :].decode() for key in store.state() if key.startswith(prefix))


@pytest.fixture
async def store() -> MemoryStore:
    """Two regions, a space and a tenant."""
    store = MemoryStore()
    await furnish(use_cases(store), "eu-west", "eu-north")
    return store


A, B = new_collection("a", "eu-west"), new_collection("b", "eu-west")


async def test_a_repeat_commits_nothing(store: MemoryStore) -> None:
    """Whether this process applied it or another did."""
    clock = WallClock()
    ours, theirs = imports_of(store, clock), imports_of(store, clock)
    first = await ours.apply(batch(1, A), OPERATOR, soon())
    commits = store.commits

    assert await ours.apply(batch(1, A), OPERATOR, soon()) == first
    assert await theirs.apply(batch(1, A), OPERATOR, soon()) == first
    assert await theirs.repeat_of(batch(1, A), soon()) == first
    assert store.commits == commits


async def test_a_batch_that_was_applied_between_reading_and_writing_is_a_repeat(store: MemoryStore) -> None:
    """A caller that lost an answer repeats it elsewhere while the first try is still on its way."""
    clock = WallClock()
    ours, theirs = imports_of(store, clock), imports_of(store, clock)
    theirs_token: list[bytes] = []

    async def meanwhile() -> None:
        theirs_token.append(await theirs.apply(batch(1, A), OPERATOR, soon()))

    store.meanwhile = meanwhile

    assert await ours.apply(batch(1, A), OPERATOR, soon()) == theirs_token[0]
    assert (await ours.get("i", soon()))[0].entry_count == 1


async def test_of_two_batches_with_one_number_one_is_applied(store: MemoryStore) -> None:
    """The other one is out of order, and nothing of it is there."""
    clock = WallClock()
    ours, theirs = imports_of(store, clock), imports_of(store, clock)

    async def meanwhile() -> None:
        await theirs.apply(batch(1, B), OPERATOR, soon())

    store.meanwhile = meanwhile

    with pytest.raises(ImportOutOfOrder) as caught:
        await ours.apply(batch(1, A), OPERATOR, soon())
    assert caught.value.metadata["nextBatch"] == "2"
    assert names(store) == ["b"]


async def test_an_import_is_forgotten_after_seven_days(store: MemoryStore) -> None:
    """From then on its id is free; the note of another one that is as old is swept."""
    clock = WallClock()
    imports = imports_of(store, clock)
    await imports.apply(batch(1, A), OPERATOR, soon())
    await imports.apply(batch(1, B, import_id="other"), OPERATOR, soon())
    clock.now_s += import_notes.LIFE_S + 1
    imports = imports_of(store, clock)

    with pytest.raises(ImportUnknown):
        await imports.get("i", soon())
    key = MapKey(Kind.COLLECTION, "acme", "a")
    await imports.apply(batch(1, Removal(key, 0)), OPERATOR, soon())
    await imports.apply(batch(1, A, import_id="third"), OPERATOR, soon())

    assert (await imports.get("i", soon()))[0].batch_count == 1
    notes = sorted(item.removeprefix(IMPORTS) for item in store.state() if item.startswith(IMPORTS))
    assert notes == [b"i", b"third"]


async def test_a_note_that_is_none_is_replaced(store: MemoryStore) -> None:
    """A value put by hand does not block its id for ever."""
    await store.commit(Transaction(puts={IMPORTS + b"i": b"\xff"}), timeout_s=1)
    imports = imports_of(store, WallClock())

    await imports.apply(batch(1, A), OPERATOR, soon())

    assert names(store) == ["a"]


async def test_what_is_remembered_is_bounded(store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a few imports go on at a time; those that were pushed out are read again."""
    monkeypatch.setattr(import_notes, "MAX_REMEMBERED", 1)
    imports = imports_of(store, WallClock())
    for number in (1, 2):
        for import_id in ("x", "y"):
            entry = new_collection(f"{import_id}{number}", "eu-west")
            await imports.apply(batch(number, entry, import_id=import_id), OPERATOR, soon())

    assert names(store) == ["x1", "x2", "y1", "y2"]


async def test_later_changes_of_a_batch_see_the_earlier_ones(store: MemoryStore) -> None:
    """A refusal names its entry; what came before it in the batch is not written."""
    bad: CollectionEntry = new_collection("bad", "mars")

    with pytest.raises(RegionUnknown) as caught:
        await imports_of(store, WallClock()).apply(batch(1, A, bad), OPERATOR, soon())

    assert caught.value.metadata["entry"] == "collections/acme/bad"
    assert caught.value.metadata["region"] == "mars"
    assert names(store) == []


async def test_without_a_store_nothing_is_promised(store: MemoryStore) -> None:
    """Neither a batch nor what was applied."""
    imports = imports_of(store, WallClock())
    await imports.apply(batch(1, A), OPERATOR, soon())
    store.away = True

    for asking in (imports.apply(batch(2, B), OPERATOR, soon()), imports.get("i", soon())):
        with pytest.raises(MapUnwritable):
            await asking
