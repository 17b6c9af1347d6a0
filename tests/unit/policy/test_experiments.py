"""Arms of experiments: the same everywhere and for ever, as many as asked for, each experiment for itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.experiments import Assigned, arm_of, assignments_of
from trunkline_policy.model import RoutingPolicy

UNITS = [f"caller-{number}" for number in range(10_000)]


@pytest.mark.parametrize(
    ("name", "unit", "place"),
    [
        ("a", "x", 0.5430939967452226),
        ("new-thresholds", "aurora\0how do i", 0.34729557136473466),
        ("r-1", "tenant\0büro", 0.6639462694223786),
    ],
)
def test_the_recipe_never_changes(name: str, unit: str, place: float) -> None:
    """Golden places: a version that moves them would mix the arms of every experiment under way."""
    assert arm_of(name, unit, math.nextafter(place, 1))
    assert not arm_of(name, unit, place)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_variant_gets_its_share(share: float) -> None:
    """Within five standard deviations of 10,000 units."""
    counted = sum(arm_of("experiment", unit, share) for unit in UNITS)
    assert abs(counted - share * len(UNITS)) < 5 * math.sqrt(len(UNITS) * share * (1 - share))


def test_experiments_divide_units_independently() -> None:
    """Half of one's variant is in the other's variant too."""
    both = sum(arm_of("first", unit, 0.5) and arm_of("second", unit, 0.5) for unit in UNITS)
    assert abs(both - len(UNITS) / 4) < 5 * math.sqrt(len(UNITS) * 0.25 * 0.75)


@given(name=st.text(max_size=10), unit=st.text(max_size=10), low=st.floats(0, 1), high=st.floats(0, 1))
def test_a_growing_share_moves_nobody_back(name: str, unit: str, low: float, high: float) -> None:
    """And of nothing nobody is in the variant, of everything everybody."""
    if low <= high and arm_of(name, unit, low):
        assert arm_of(name, unit, high)
    assert not arm_of(name, unit, 0.0)
    assert arm_of(name, unit, 1.0)


def policy(*experiments: dict[str, Any]) -> RoutingPolicy:
    return RoutingPolicy.model_validate({"version": 2, "collections": {"a": {}}, "experiments": experiments})


def test_a_policy_without_experiments_assigns_nothing() -> None:
    """The usual case."""
    assert assignments_of(policy(), tenant_id="t", text="x", subject="s") == ()


def test_a_unit_is_a_query_of_a_tenant_or_a_caller_of_a_tenant() -> None:
    """Spellings of one query share an arm; so do all queries of one caller; a shadow is marked."""
    variant = {"max_collections": 3}
    both = policy(
        {"name": "by-query", "share": 0.5, "variant": variant},
        {"name": "by-caller", "kind": "shadow", "share": 0.5, "unit": "caller", "variant": variant},
    )
    for number in range(50):
        text, subject = f"Question {number}", f"s{number}"
        assert assignments_of(both, tenant_id="t", text=text, subject=subject) == (
            Assigned("by-query", arm_of("by-query", f"t\0question {number}", 0.5), shadow=False),
            Assigned("by-caller", arm_of("by-caller", f"t\0s{number}", 0.5), shadow=True),
        )
        spelled = assignments_of(both, tenant_id="t", text=f"  QUESTION  {number}", subject=subject)
        assert spelled == assignments_of(both, tenant_id="t", text=text, subject=subject)
