"""Which regions may serve: residency first, then state, then preference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import AP, EU, NORTH, TENANT, US, World, endpoints

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_map import testing as maps
from trunkline_map.entries import Preference, RegionState
from trunkline_map.testing import static_map
from trunkline_routing.edge import candidates
from trunkline_routing.edge.candidates import Candidate
from trunkline_routing.edge.gate import inside, outside, readable, wall
from trunkline_routing.edge.model import Gate

ANY = options_pb.CONSISTENCY_ANY
PRIMARY = options_pb.CONSISTENCY_PRIMARY
JURISDICTIONS = ("us", "eu", "apac")


def told(found: list[Candidate]) -> list[tuple[str, str]]:
    return [
        (one.region_id, trail_pb.AttemptOutcome.Name(one.passed_over).removeprefix("ATTEMPT_OUTCOME_")) for one in found
    ]


def of(world: World, name: str, consistency: options_pb.Consistency.ValueType = ANY) -> list[tuple[str, str]]:
    gate = world.gate()
    entry = gate.snapshot.collection(TENANT, name)
    assert entry is not None
    return told(candidates.for_collection(gate, entry, consistency))


def test_this_routers_own_region_comes_first() -> None:
    """The nearest copy, then the placement's order."""
    assert of(World(EU), "both") == [(EU, "UNSPECIFIED"), (US, "UNSPECIFIED")]
    assert of(World(US), "both") == [(US, "UNSPECIFIED"), (EU, "UNSPECIFIED")]
    assert of(World(NORTH), "both") == [(US, "UNSPECIFIED"), (EU, "UNSPECIFIED")]


def test_nearest_means_measured_and_placement_where_unknown() -> None:
    """Own first, then by tier; as far or unknown: the placement's order, unknown ones last."""
    world = World(NORTH)
    world.map.put(maps.collection(TENANT, "both", [AP, US, EU, NORTH], ["us", "eu", "apac"]))
    world.map.put(maps.tenant(TENANT, "us", "eu", "apac"))
    gate = world.gate()
    entry = gate.snapshot.collection(TENANT, "both")
    assert entry is not None

    def order(**tiers: int) -> list[str]:
        known = {name.replace("_", "-"): tier for name, tier in tiers.items()}
        return [one.region_id for one in candidates.for_collection(gate, entry, ANY, known.get)]

    assert order() == [NORTH, AP, US, EU]
    assert order(ap_south=5, us_east=3, eu_west=0) == [NORTH, EU, US, AP]
    assert order(ap_south=2, us_east=2, eu_west=2) == [NORTH, AP, US, EU]
    assert order(eu_west=7) == [NORTH, EU, AP, US]


def test_placement_means_the_placements_order() -> None:
    """Wherever the router is."""
    world = World(EU)
    world.map.put(maps.collection(TENANT, "both", [US, EU], ["us", "eu"], preference=Preference.PLACEMENT))
    assert of(world, "both") == [(US, "UNSPECIFIED"), (EU, "UNSPECIFIED")]


def test_primary_means_the_placements_first() -> None:
    """Even where a copy is nearer."""
    assert of(World(EU), "both", PRIMARY) == [(US, "UNSPECIFIED")]


def test_state_passes_a_region_over() -> None:
    """Draining and down take no new searches."""
    world = World(EU)
    world.map.put(maps.region(US, "us", state=RegionState.DRAINING, **endpoints(US)))
    assert of(world, "both") == [(EU, "UNSPECIFIED"), (US, "SKIPPED_STATE")]


def test_residency_comes_before_state() -> None:
    """A region outside the wall is not even asked how it is; one that left the map is outside every wall."""
    world = World(EU)
    world.map.put(maps.region(AP, "apac", state=RegionState.DOWN, **endpoints(AP)))
    world.map.put(maps.collection(TENANT, "both", [AP, EU, "gone"], ["us", "eu", "apac"]))
    assert of(world, "both") == [(EU, "UNSPECIFIED"), (AP, "SKIPPED_RESIDENCY"), ("gone", "SKIPPED_RESIDENCY")]


def test_work_without_data_of_its_own_stays_inside_the_wall() -> None:
    """Inference and rerank: own region first; regions outside are not even listed."""
    gate = World(EU).gate()
    assert told(candidates.within(gate, frozenset({"eu"}))) == [(EU, "UNSPECIFIED"), (NORTH, "UNSPECIFIED")]
    assert told(candidates.within(gate, frozenset({"apac"}))) == [(AP, "UNSPECIFIED")]
    assert candidates.within(gate, frozenset()) == []


@given(
    tenant=st.frozensets(st.sampled_from(JURISDICTIONS), min_size=1),
    collection=st.frozensets(st.sampled_from(JURISDICTIONS), min_size=1),
    placement=st.lists(st.sampled_from([US, EU, NORTH, AP]), min_size=1, unique=True),
    own=st.sampled_from([US, EU, NORTH, AP]),
    consistency=st.sampled_from([ANY, PRIMARY]),
    preference=st.sampled_from(Preference),
    tiers=st.dictionaries(st.sampled_from([US, EU, NORTH, AP]), st.integers(0, 9)),
)
def test_no_candidate_ever_lies_outside_the_jurisdictions(
    tenant: frozenset[str],
    collection: frozenset[str],
    placement: list[str],
    own: str,
    consistency: options_pb.Consistency.ValueType,
    preference: Preference,
    tiers: dict[str, int],
) -> None:
    """Whatever tenant, collection, placement and router: residency beats everything."""
    world = static_map(
        maps.region(US, "us"), maps.region(EU, "eu"), maps.region(NORTH, "eu"), maps.region(AP, "apac"),
        maps.space(), maps.tenant(TENANT, *tenant),
        maps.collection(TENANT, "c", placement, collection, preference=preference),
    ).snapshot  # fmt: skip
    owner, region, entry = world.tenant(TENANT), world.region(own), world.collection(TENANT, "c")
    assert owner is not None
    assert region is not None
    assert entry is not None
    gate = Gate(world, owner, region)
    walls = wall(gate, (entry,))
    assert walls == tenant & collection
    found = candidates.for_collection(gate, entry, consistency, tiers.get)
    assert {one.region_id for one in found} <= set(placement)
    for one in [*found, *candidates.within(gate, walls, tiers.get)]:
        assert one.passed_over == trail_pb.ATTEMPT_OUTCOME_SKIPPED_RESIDENCY or (
            one.region is not None and inside(one.region, walls)
        )
    assert readable(gate, entry) == (region.jurisdiction in walls)


def test_a_refusal_names_who_serves_before_who_drains_and_nobody_who_is_down() -> None:
    """So that the caller's next try works."""
    world = World(US)
    world.map.put(
        maps.region("eu-a", "eu", state=RegionState.DRAINING, routing="a:1"),
        maps.region("eu-b", "eu", state=RegionState.DOWN, routing="b:1"),
        maps.region(EU, "eu", routing="c:1,d:1"),
    )
    world.map.remove(maps.region(NORTH, "eu").key)
    refusal = outside(world.map.snapshot, frozenset({"eu"}))
    assert dict(refusal.metadata) == {"allowedRegions": f"{EU},eu-a", "allowedEndpoints": "c:1,d:1,a:1"}


@pytest.mark.parametrize("length", [10, 60])
def test_a_refusal_never_names_half_an_address(length: int) -> None:
    """What does not fit is left out whole."""
    regions = [maps.region(f"r{n:02}", "eu", routing=f"{'h' * length}{n:02}:{7000 + n}") for n in range(60)]
    endpoints_told = outside(static_map(*regions).snapshot, frozenset({"eu"})).metadata["allowedEndpoints"]
    addresses = {address for region in regions for address in region.routing_endpoints}
    assert endpoints_told
    assert set(endpoints_told.split(",")) <= addresses
