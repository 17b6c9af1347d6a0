"""Routing accuracy and what tiers are promised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_routing.learner.objectives import Part, accuracy, objective, tier_label

parts = st.lists(
    st.builds(
        Part,
        st.sampled_from(["golden", "feedback", "agreement"]),
        st.floats(0, 1),
        st.integers(0, 100),
        st.just(0.0),
    ),
    max_size=3,
    unique_by=lambda part: part.name,
)


def test_parts_are_weighted() -> None:
    """Golden set 0.5, feedback 0.3, agreement 0.2."""
    told = [Part("golden", 1.0, 5, 0.0), Part("feedback", 0.5, 5, 0.0), Part("agreement", 0.0, 5, 0.0)]
    assert accuracy(told) == pytest.approx(0.65)


def test_what_has_no_samples_does_not_count() -> None:
    """The weights of the others grow."""
    told = [Part("golden", 1.0, 5, 0.0), Part("feedback", 0.0, 0, 0.0), Part("agreement", 0.0, 5, 0.0)]
    assert accuracy(told) == pytest.approx(0.5 / 0.7)
    assert accuracy([]) is None


@given(parts)
def test_accuracy_lies_between_its_parts(told: list[Part]) -> None:
    """Whichever have samples."""
    values = [part.value for part in told if part.sample_count]
    value = accuracy(told)
    assert (value is None) == (not values)
    if value is not None:
        assert min(values) - 1e-9 <= value <= max(values) + 1e-9


def test_tiers_have_objectives() -> None:
    """An unknown one the lowest, and one label for all of them."""
    assert [objective(tier) for tier in ("free", "pro", "enterprise", "gold")] == [0.85, 0.95, 0.98, 0.85]
    assert tier_label("gold") == tier_label("silver") == "other"
