"""Requests under way: bounded by credential and by tenant, and forgotten when they end."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import EU, TENANT

from trunkline_map import testing as maps
from trunkline_map.testing import static_map
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import InFlightLimit
from trunkline_mesh.request import Principal, RequestScope
from trunkline_routing.edge.in_flight import MAX_RETRY_S, MIN_RETRY_S, InFlight
from trunkline_routing.edge.model import Gate
from trunkline_tiers import default_tiers

TIERS = default_tiers()
FREE = TIERS.tiers["free"].capacity


def gate(tier: str = "free", tenant_id: str = TENANT) -> Gate:
    snapshot = static_map(maps.region(EU, "eu"), maps.tenant(tenant_id, "eu", tier=tier)).snapshot
    tenant, region = snapshot.tenant(tenant_id), snapshot.region(EU)
    assert tenant is not None
    assert region is not None
    return Gate(snapshot, tenant, region)


def scope(subject: str = "one") -> RequestScope:
    made = RequestScope("r", 1, "/a/b", Deadline.after(1), False)
    made.principal = Principal(subject, TENANT, frozenset(), "", 0.0)
    return made


def test_a_credential_has_so_many_at_a_time() -> None:
    """Another credential of the tenant has its own; whoever ends makes room."""
    in_flight, at = InFlight(TIERS), gate()
    with ExitStack() as stack:
        for _ in range(FREE.in_flight_per_key):
            stack.enter_context(in_flight.held(at, scope()))
        with pytest.raises(InFlightLimit) as refused, in_flight.held(at, scope()):
            pytest.fail("it was let in")
        assert refused.value.metadata == {"limit": str(FREE.in_flight_per_key), "scope": "key"}
        assert refused.value.retry_delay_s is not None
        assert MIN_RETRY_S <= refused.value.retry_delay_s <= MAX_RETRY_S
        with in_flight.held(at, scope("two")):
            pass
    with in_flight.held(at, scope()):
        pass
    assert in_flight.tracked == 0


def test_a_tenant_has_so_many_at_a_time_whoever_asks() -> None:
    """By many credentials as by one; other tenants are not concerned."""
    in_flight, at = InFlight(TIERS), gate()
    with ExitStack() as stack:
        for number in range(FREE.in_flight_per_instance):
            stack.enter_context(in_flight.held(at, scope(f"key-{number}")))
        with pytest.raises(InFlightLimit) as refused, in_flight.held(at, scope("another")):
            pytest.fail("it was let in")
        assert refused.value.metadata["scope"] == "instance"
        with in_flight.held(gate(tenant_id="globex"), scope()):
            pass


def test_an_unknown_tier_is_bounded_as_the_lowest() -> None:
    """Nobody gains by a wrong name."""
    in_flight, at = InFlight(TIERS), gate("diamond")
    with ExitStack() as stack:
        for _ in range(FREE.in_flight_per_key):
            stack.enter_context(in_flight.held(at, scope()))
        with pytest.raises(InFlightLimit), in_flight.held(at, scope()):
            pytest.fail("it was let in")


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=200))
def test_counts_are_never_lost(steps: list[tuple[int, int, bool]]) -> None:
    """Whatever begins, is refused and ends in whatever order: with nothing under way nothing is remembered."""
    in_flight, running = InFlight(TIERS), []
    for tenant, key, begin in steps:
        if begin:
            held = in_flight.held(gate(tenant_id=f"t{tenant}"), scope(f"k{key}"))
            try:
                running.append(held.__enter__())
            except InFlightLimit:
                continue
        elif running:
            running.pop(key % len(running)).__exit__(None, None, None)
    assert in_flight.tracked <= 2 * len(running)
    for held in running:
        held.__exit__(None, None, None)
    assert in_flight.tracked == 0
