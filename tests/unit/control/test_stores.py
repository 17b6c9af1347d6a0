"""In which stores a collection may lie, and who says so."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.control.memory_store import MemoryStore
from tests.unit.control.side import ADMIN, OPERATOR, furnish, new_collection, new_tenant, soon, use_cases

from trunkline_map.entries import CollectionEntry, StoreEntry
from trunkline_mesh.errors import EntryInUse, FieldInvalid, MethodNotAllowed, StoreUnknown
from trunkline_routing.control.bindings import ControlUseCases

STORES = (
    StoreEntry("big", "big:6334"),
    StoreEntry("own", "own:6334", "acme"),
    StoreEntry("theirs", "theirs:6334", "other"),
)


async def with_stores() -> ControlUseCases:
    """Region `eu-a` with stores, `eu-b` with none."""
    side = use_cases(MemoryStore())
    await furnish(side, "eu-a", "eu-b", tier="enterprise")
    await side.tenants.put(new_tenant("other"), OPERATOR, soon())
    entry, _ = await side.regions.get("eu-a", soon())
    await side.regions.put(replace(entry, stores=STORES), OPERATOR, soon())
    return side


def lying(store: str, *, cluster: bool = False, placement: tuple[str, ...] = ("eu-a",)) -> CollectionEntry:
    entry = new_collection("docs", *placement)
    return replace(entry, region_stores=(("eu-a", store),), cluster=cluster, dedicated=cluster)


async def test_a_store_of_the_tenants_own_or_of_all_is_taken() -> None:
    """And kept."""
    for store in ("big", "own"):
        side = await with_stores()
        entry, _ = await side.collections.put(lying(store), OPERATOR, soon())
        assert (await side.collections.get("acme", "docs", soon()))[0] == entry
        assert entry.store_in("eu-a") == store


@pytest.mark.parametrize("store", ["theirs", "none"])
async def test_a_store_of_another_tenant_is_none(store: str) -> None:
    """It is not told apart from one that is not there."""
    side = await with_stores()

    with pytest.raises(StoreUnknown) as refused:
        await side.collections.put(lying(store), OPERATOR, soon())

    assert refused.value.metadata == {"region": "eu-a", "store": store}


async def test_only_operators_choose_stores() -> None:
    """An admin may change the rest of such a collection."""
    side = await with_stores()
    with pytest.raises(MethodNotAllowed):
        await side.collections.put(lying("own"), ADMIN, soon())

    entry, _ = await side.collections.put(lying("own"), OPERATOR, soon())

    entry, _ = await side.collections.put(replace(entry, description="new"), ADMIN, soon())
    with pytest.raises(MethodNotAllowed):
        await side.collections.put(replace(entry, region_stores=()), ADMIN, soon())


async def test_a_region_that_is_not_placed_has_no_store() -> None:
    """It would say nothing."""
    side = await with_stores()

    with pytest.raises(FieldInvalid):
        await side.collections.put(lying("own", placement=("eu-b",)), OPERATOR, soon())


async def test_documents_stay_in_their_store() -> None:
    """They would not be found in another; a region that is added may have any."""
    side = await with_stores()
    entry, _ = await side.collections.put(new_collection("docs", "eu-b"), OPERATOR, soon())
    wider = replace(entry, placement=("eu-b", "eu-a"), region_stores=(("eu-a", "big"),))
    entry, _ = await side.collections.put(wider, OPERATOR, soon())

    for stores in ((), (("eu-a", "own"),)):
        with pytest.raises(FieldInvalid):
            await side.collections.put(replace(entry, region_stores=stores), OPERATOR, soon())
    await side.collections.put(replace(entry, placement=("eu-b",), region_stores=()), ADMIN, soon())


async def test_a_cluster_lies_in_the_tenants_own_stores_alone() -> None:
    """In every region of its placement."""
    side = await with_stores()
    with pytest.raises(StoreUnknown):
        await side.collections.put(lying("big", cluster=True), OPERATOR, soon())
    with pytest.raises(FieldInvalid):
        await side.collections.put(lying("own", cluster=True, placement=("eu-a", "eu-b")), OPERATOR, soon())

    entry, _ = await side.collections.put(lying("own", cluster=True), OPERATOR, soon())

    with pytest.raises(FieldInvalid):
        await side.collections.put(replace(entry, cluster=False), OPERATOR, soon())


async def test_a_store_in_use_stays_as_it_is() -> None:
    """Its address and its tenant too; others may change beside it."""
    side = await with_stores()
    await side.collections.put(lying("own"), OPERATOR, soon())
    now, _ = await side.regions.get("eu-a", soon())
    big, own, theirs = STORES

    for stores in (
        (big, theirs),
        (big, replace(own, endpoint="elsewhere:6334"), theirs),
        (big, replace(own, tenant_id=""), theirs),
    ):
        with pytest.raises(EntryInUse) as refused:
            await side.regions.put(replace(now, stores=stores), OPERATOR, soon())
        assert refused.value.metadata["usedBy"] == "acme/docs"
    await side.regions.put(replace(now, stores=(own, replace(big, endpoint="bigger:6334"))), OPERATOR, soon())


async def test_a_store_that_is_just_being_used_is_not_taken_away() -> None:
    """Nothing used it when that was checked."""
    store = MemoryStore()
    side = use_cases(store)
    await furnish(side, "eu-a")
    entry, _ = await side.regions.get("eu-a", soon())
    entry, _ = await side.regions.put(replace(entry, stores=STORES), OPERATOR, soon())
    other = use_cases(store)
    store.meanwhile = lambda: other.collections.put(lying("own"), OPERATOR, soon())

    with pytest.raises(EntryInUse):
        await side.regions.put(replace(entry, stores=()), OPERATOR, soon())
