"""No act leaves a collection without a region that is allowed and serves."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import OPERATOR, WallClock, furnish, new_collection, new_region, soon, use_cases

from trunkline_map.entries import Entry, RegionState
from trunkline_map.keys import Kind, MapKey
from trunkline_map.records import decode
from trunkline_map.snapshot import EMPTY_MAP, Change
from trunkline_map.store import Transaction
from trunkline_map.testing import StaticMap
from trunkline_mesh.errors import EntryInUse, LastAllowedRegion, RegionUnknown
from trunkline_routing.control.bindings import ControlUseCases


class Watched(StaticMap):
    """The watched map, as fresh as a test makes it."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__()
        self._store = store

    async def follow(self, side: ControlUseCases) -> None:
        """Take everything that is there now."""
        snapshot = EMPTY_MAP.applying(
            [Change(entry.key, entry) for entry in await entries(self._store)], revision=self._store.revision
        )
        assert snapshot.epoch == await side.maps.ensure_epoch(soon())
        self.publish(snapshot)


async def entries(store: MemoryStore) -> list[Entry]:
    """Every entry of the store, the epoch among them."""
    keyed = ((MapKey.parse(key), item) for key, item in store.state().items())
    return [decode(key, item.value, item.mod_revision) for key, item in keyed if key is not None]


async def two_regions(store: MemoryStore | None = None) -> ControlUseCases:
    side = use_cases(store or MemoryStore())
    await furnish(side, "eu-a", "eu-b")
    return side


async def test_the_last_region_is_not_drained() -> None:
    """The refusal names collections, at most 5, and how many there are."""
    side = await two_regions()
    for number in range(7):
        await side.collections.put(new_collection(f"c-{number}", "eu-a"), OPERATOR, soon())

    with pytest.raises(LastAllowedRegion) as refused:
        await side.regions.drain("eu-a", OPERATOR, soon())

    assert refused.value.metadata == {"usedBy": ",".join(f"acme/c-{number}" for number in range(5)), "count": "7"}


@pytest.mark.parametrize("state", [RegionState.DRAINING, RegionState.DOWN])
async def test_neither_is_it_written_to_be_out_of_service(state: RegionState) -> None:
    """The same act in other words."""
    side = await two_regions()
    await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    entry, _ = await side.regions.get("eu-a", soon())

    with pytest.raises(LastAllowedRegion):
        await side.regions.put(replace(entry, state=state), OPERATOR, soon())


async def test_of_two_drains_at_once_one_is_refused() -> None:
    """Each would be harmless alone; the one that is overtaken decides anew."""
    store = MemoryStore()
    side = await two_regions(store)
    await side.collections.put(new_collection("docs", "eu-a", "eu-b"), OPERATOR, soon())
    other = use_cases(store)
    store.meanwhile = lambda: other.regions.drain("eu-b", OPERATOR, soon())

    with pytest.raises(LastAllowedRegion):
        await side.regions.drain("eu-a", OPERATOR, soon())

    assert (await side.regions.get("eu-b", soon()))[0].state is RegionState.DRAINING


async def test_a_collection_placed_meanwhile_counts() -> None:
    """It was not there when the drain looked."""
    store = MemoryStore()
    side = await two_regions(store)
    other = use_cases(store)
    store.meanwhile = lambda: other.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())

    with pytest.raises(LastAllowedRegion):
        await side.regions.drain("eu-a", OPERATOR, soon())


async def test_a_collection_is_not_placed_where_a_region_was_just_drained() -> None:
    """It served when that was checked."""
    store = MemoryStore()
    side = await two_regions(store)
    other = use_cases(store)
    store.meanwhile = lambda: other.regions.drain("eu-a", OPERATOR, soon())

    with pytest.raises(LastAllowedRegion):
        await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())


async def test_a_placement_does_not_shrink_to_regions_that_do_not_serve() -> None:
    """The one that serves must stay."""
    side = await two_regions()
    entry, _ = await side.collections.put(new_collection("docs", "eu-a", "eu-b"), OPERATOR, soon())
    await side.regions.drain("eu-b", OPERATOR, soon())

    with pytest.raises(LastAllowedRegion):
        await side.collections.put(replace(entry, placement=("eu-b",)), OPERATOR, soon())
    await side.collections.put(replace(entry, placement=("eu-a",)), OPERATOR, soon())


async def test_a_drained_region_stays_as_it_is() -> None:
    """Also where it is the last by now; and so does one that is down."""
    store = MemoryStore()
    side = await two_regions(store)
    drained, _ = await side.regions.drain("eu-a", OPERATOR, soon())
    commits = store.commits

    again, token = await side.regions.drain("eu-a", OPERATOR, soon())

    assert (again, store.commits) == (drained, commits)
    assert token
    with pytest.raises(RegionUnknown):
        await side.regions.drain("nowhere", OPERATOR, soon())


async def test_a_region_comes_back_gradually_from_now_on() -> None:
    """When it began to serve is the server's to say, and stays while it serves."""
    clock = WallClock()
    side = use_cases(MemoryStore(), now=clock)
    first, _ = await side.regions.put(replace(new_region("r"), serving_since_s=5.0), OPERATOR, soon())
    assert first.serving_since_s == clock.now_s
    clock.now_s += 100
    drained, _ = await side.regions.drain("r", OPERATOR, soon())
    assert drained.serving_since_s == first.serving_since_s

    back, _ = await side.regions.undrain("r", 90.0, OPERATOR, soon())

    assert (back.serving_since_s, back.ramp_s, back.state) == (clock.now_s, 90.0, RegionState.SERVING)
    clock.now_s += 100
    kept, _ = await side.regions.put(replace(back, ramp_s=1.0, serving_since_s=0.0), OPERATOR, soon())
    assert (kept.serving_since_s, kept.ramp_s) == (back.serving_since_s, 1.0)
    assert (await side.regions.undrain("r", 5.0, OPERATOR, soon()))[0] == kept


async def test_a_malformed_collection_holds_a_region_by_its_last_good_entry() -> None:
    """What it says now is not known; what is served is."""
    store = MemoryStore()
    watched = Watched(store)
    side = use_cases(store, source=watched)
    await furnish(side, "eu-a", "eu-b")
    await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    await side.collections.put(new_collection("other", "eu-b"), OPERATOR, soon())
    await watched.follow(side)
    for name in ("docs", "none"):
        key = MapKey(Kind.COLLECTION, "acme", name).encode()
        await store.commit(Transaction(puts={key: b"\xff"}), timeout_s=1)

    with pytest.raises(LastAllowedRegion) as refused:
        await side.regions.drain("eu-a", OPERATOR, soon())
    assert refused.value.metadata["usedBy"] == "acme/docs"


async def test_an_old_watched_map_decides_nothing_wrongly() -> None:
    """It may say that nothing is placed; the transaction knows better. It may say that something is; the store does."""
    store = MemoryStore()
    watched = Watched(store)
    side = use_cases(store, source=watched)
    await furnish(side, "eu-a", "eu-b")
    await watched.follow(side)
    placed, _ = await side.collections.put(new_collection("docs", "eu-a"), OPERATOR, soon())
    with pytest.raises(EntryInUse):
        await side.regions.delete("eu-a", 0, OPERATOR, soon())
    with pytest.raises(LastAllowedRegion):
        await side.regions.drain("eu-a", OPERATOR, soon())

    await watched.follow(side)
    await side.collections.delete("acme", "docs", placed.revision, OPERATOR, soon())

    await side.regions.drain("eu-a", OPERATOR, soon())
    await side.regions.delete("eu-a", 0, OPERATOR, soon())
