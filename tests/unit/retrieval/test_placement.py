"""Which store the map gives a collection here, and which it may not have."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_map.entries import CollectionEntry, RegionEntry, StoreEntry
from trunkline_map.testing import collection, region, space, static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import CollectionNotPlaced, ResidencyViolation
from trunkline_retrieval.placement import Placements, has_stores, store_endpoint

HERE = "eu-west"
STORES = (
    StoreEntry("shared-ssd", "10.0.0.1:6334"),
    StoreEntry("acme-own", "10.0.0.2:6334", "acme"),
    StoreEntry("globex-own", "10.0.0.3:6334", "globex"),
    StoreEntry("globex-alias", "10.0.0.4:6334", "globex"),
    StoreEntry("looks-open", "10.0.0.4:6334"),
    StoreEntry("box", "engine:box"),
)
REGION = replace(region(HERE, "eu"), stores=STORES)


def entry(store: str = "", *, dedicated: bool = False, cluster: bool = False, elsewhere: str = "") -> CollectionEntry:
    """Return a collection of acme whose store here is `store`."""
    named = {HERE: store, "eu-north": elsewhere}
    return replace(
        collection("acme", "docs", [HERE, "eu-north"], ["eu"], dedicated=dedicated or cluster),
        cluster=cluster,
        region_stores=tuple(sorted((name, value) for name, value in named.items() if value)),
    )


@pytest.mark.parametrize(
    ("placed", "endpoint"),
    [
        (entry(), ""),
        (entry(dedicated=True), ""),
        (entry(elsewhere="acme-own"), ""),
        (entry("shared-ssd"), "10.0.0.1:6334"),
        (entry("box", dedicated=True), "engine:box"),
        (entry("acme-own"), "10.0.0.2:6334"),
        (entry("acme-own", cluster=True), "10.0.0.2:6334"),
    ],
    ids=["default", "dedicated", "other region", "shared", "engine", "own store", "cluster"],
)
def test_a_collection_lies_where_the_map_says(placed: CollectionEntry, endpoint: str) -> None:
    """Its store of this region, or the default one."""
    assert store_endpoint(REGION, placed) == endpoint


@pytest.mark.parametrize(
    "placed",
    [
        entry("gone"),
        entry("globex-own"),
        entry("looks-open"),
        entry(cluster=True),
        entry("shared-ssd", cluster=True),
        entry("globex-own", cluster=True),
    ],
    ids=["unknown", "kept", "kept under another name", "cluster in the default", "cluster shared", "cluster kept"],
)
def test_a_store_that_is_not_its_own_is_refused(placed: CollectionEntry) -> None:
    """Whatever control let through: a tenant's own store holds nobody else's documents, and a cluster is its own."""
    with pytest.raises(CollectionNotPlaced):
        store_endpoint(REGION, placed)


@given(
    st.lists(
        st.builds(
            StoreEntry,
            st.sampled_from("abcd"),
            st.sampled_from(["h:1", "h:2", "h:3"]),
            st.sampled_from(["", "acme", "b"]),
        ),
        max_size=6,
    ),
    st.sampled_from(["", "a", "b", "c", "d"]),
    st.booleans(),
)
def test_no_map_lets_a_tenant_into_anothers_store(stores: list[StoreEntry], name: str, cluster: bool) -> None:
    """Law: the endpoint is the default one, or no other tenant's under any of its names; a cluster's is its own."""
    here = replace(REGION, stores=tuple(stores))
    try:
        endpoint = store_endpoint(here, entry(name, cluster=cluster))
    except CollectionNotPlaced:
        return
    keepers = {store.tenant_id for store in stores if store.endpoint == endpoint} - {""}
    assert keepers <= {"acme"}
    assert not cluster or keepers == {"acme"}
    assert (endpoint == "") == (name == "")


async def resolve(here: RegionEntry, *, jurisdiction: str = "", allowed: tuple[str, ...] = ("eu", "us")) -> str:
    """Return the store of acme's docs by a map with this region, for a process that stands in `jurisdiction`."""
    placed = replace(entry("shared-ssd"), jurisdictions=frozenset(allowed))
    source = static_map(here, tenant("acme", "eu", "us"), space(dimension=4), placed)
    placements = Placements(source, HERE, jurisdiction=jurisdiction)
    (ref,) = await placements.resolve("acme", ["docs"], b"", Deadline.after(5))
    return ref.store


async def test_the_store_travels_with_the_reference() -> None:
    """So that a call reaches the store that was checked."""
    assert await resolve(REGION) == await resolve(REGION, jurisdiction="eu") == "10.0.0.1:6334"


async def test_a_map_that_names_this_region_wrongly_opens_nothing() -> None:
    """It says `us`, the process stands in `eu`: a collection of the US is not served from here, and nothing else is."""
    wrong = replace(REGION, jurisdiction="us")
    for allowed in (("us",), ("eu", "us"), ("eu",)):
        with pytest.raises(ResidencyViolation):
            await resolve(wrong, jurisdiction="eu", allowed=allowed)


async def test_the_map_alone_is_a_wall_too() -> None:
    """A region outside the collection's jurisdictions serves it nowhere."""
    with pytest.raises(ResidencyViolation):
        await resolve(REGION, allowed=("us",))


def test_a_region_knows_whether_it_has_other_stores() -> None:
    """One that the map does not know has none."""
    snapshot = static_map(REGION, region("us-east", "us")).snapshot
    assert [has_stores(snapshot, name) for name in (HERE, "us-east", "nowhere")] == [True, False, False]
