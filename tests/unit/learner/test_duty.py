"""Which learner works for which tenant."""

from __future__ import annotations

from trunkline_map.entries import RegionState
from trunkline_map.testing import region, static_snapshot, tenant
from trunkline_routing.learner.duty import in_charge, region_in_charge

REGIONS = ("eu-north", "eu-south", "eu-west")
TENANTS = [tenant(f"t{number}", "eu") for number in range(60)]


def _snapshot(*names: str, **states: RegionState):  # type: ignore[no-untyped-def]  # a helper of tests
    entries = [
        region(name, "eu", learning="127.0.0.1:1", state=states.get(name.replace("-", "_"), RegionState.SERVING))
        for name in names
    ]
    return static_snapshot(*entries, region("us-east", "us", learning="127.0.0.1:1"), *TENANTS)


def test_exactly_one_learner_is_in_charge_of_each_tenant() -> None:
    """All of them agree, and each has some."""
    snapshot = _snapshot(*REGIONS)
    chosen = {each.tenant_id: [name for name in REGIONS if in_charge(snapshot, each, name)] for each in TENANTS}
    assert all(len(names) == 1 for names in chosen.values())
    assert {names[0] for names in chosen.values()} == set(REGIONS)


def test_losing_a_region_moves_its_own_tenants_alone() -> None:
    """The others stay where they were."""
    before, after = _snapshot(*REGIONS), _snapshot(*REGIONS, eu_west=RegionState.DOWN)
    for each in TENANTS:
        was, now = region_in_charge(before, each, "eu-north"), region_in_charge(after, each, "eu-north")
        assert now != "eu-west"
        assert was in (now, "eu-west")


def test_no_learner_outside_a_tenants_jurisdictions_works_for_it() -> None:
    """Residency beats everything else."""
    snapshot = _snapshot()
    assert all(region_in_charge(snapshot, each, "us-east") is None for each in TENANTS)


def test_a_learner_works_before_the_map_names_it() -> None:
    """Its own region counts."""
    snapshot = static_snapshot(region("eu-west", "eu"), *TENANTS)
    assert in_charge(snapshot, TENANTS[0], "eu-west")


def test_a_suspended_tenant_is_left_alone() -> None:
    """Its policy is of no use to anybody."""
    snapshot = _snapshot("eu-west")
    assert not in_charge(snapshot, tenant("t0", "eu", suspended=True), "eu-west")
