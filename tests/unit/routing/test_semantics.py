"""Nearness to what a policy says of its collections."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import axis, vector_of

from trunkline_routing.edge.policy_text import RoutingPolicy
from trunkline_routing.edge.semantics import Nearness, Semantics, choose, prototype_texts


def policy(threshold: float = 0.5, margin: float = 0.1, max_collections: int = 3) -> RoutingPolicy:
    return RoutingPolicy.model_validate(
        {
            "version": 1,
            "threshold": threshold,
            "margin": margin,
            "max_collections": max_collections,
            "collections": {"a": {"examples": ["one", "two"], "description": "own"}, "b": {}, "c": {}},
        }
    )


def names(chosen: list[Nearness]) -> list[str]:
    return [one.collection for one in chosen]


def test_the_nearest_example_counts_where_the_topic_is_wide() -> None:
    """A collection of two far examples is near to each of them, not only to their middle."""
    semantics = Semantics(["wide", "wide", "narrow"], [axis(0), axis(1), vector_of("elsewhere")])
    first = semantics.rank(axis(0))[0]
    assert first.collection == "wide"
    assert first.score == pytest.approx(1.0)


def test_the_middle_of_the_examples_stands_for_the_topic() -> None:
    """A query between two examples is nearer to their centroid than to either."""
    middle = [2**-0.5, 2**-0.5, 0.0, 0.0]
    [near] = Semantics(["a", "a"], [axis(0), axis(1)]).rank(middle)
    assert near.score == pytest.approx(1.0)


def test_ties_are_ordered_by_name_and_opposites_cut_to_zero() -> None:
    """Scores are confidences: 0 to 1."""
    ranked = Semantics(["b", "a", "c"], [axis(0), axis(0), [-1.0, 0, 0, 0]]).rank(array("f", axis(0)))
    assert [(one.collection, one.score) for one in ranked] == [("a", 1.0), ("b", 1.0), ("c", 0.0)]


def test_opposite_examples_have_no_middle_and_no_division_by_zero() -> None:
    """Their sum is zero; each alone still counts."""
    [near] = Semantics(["a", "a"], [axis(0), [-1.0, 0, 0, 0]]).rank(axis(0))
    assert near.score == pytest.approx(1.0)


def test_without_prototypes_nothing_is_near() -> None:
    """A policy may have none."""
    assert Semantics([], []).rank(axis(0)) == []
    assert choose([], policy()) == []


@pytest.mark.parametrize(
    ("scores", "chosen"),
    [
        ([0.9, 0.85, 0.7], ["a", "b"]),
        ([0.9, 0.79, 0.7], ["a"]),
        ([0.55, 0.48, 0.46], ["a"]),
        ([0.5, 0.5, 0.5], ["a", "b", "c"]),
        ([0.49, 0.49, 0.49], []),
    ],
)
def test_threshold_and_margin(scores: list[float], chosen: list[str]) -> None:
    """At or above the threshold, and within the margin of the best."""
    ranked = [Nearness(name, score) for name, score in zip("abc", scores, strict=True)]
    assert names(choose(ranked, policy())) == chosen


@given(
    scores=st.lists(st.floats(0, 1), max_size=8),
    threshold=st.floats(0, 1),
    margin=st.floats(0, 1),
    most=st.integers(1, 16),
)
def test_what_is_chosen_is_the_head_of_the_ranking(
    scores: list[float], threshold: float, margin: float, most: int
) -> None:
    """Never a worse one before a better one, never more than allowed, never one below the threshold."""
    ranked = [Nearness(str(number), score) for number, score in enumerate(sorted(scores, reverse=True))]
    chosen = choose(ranked, policy(threshold, margin, most))
    assert chosen == ranked[: len(chosen)]
    assert len(chosen) <= most
    assert all(one.score >= threshold for one in chosen)
    assert bool(chosen) == bool(ranked and ranked[0].score >= threshold)


def test_prototypes_are_examples_and_descriptions() -> None:
    """The policy's own description, else the map's."""
    texts = prototype_texts(policy(), {"a": "map's a", "b": "map's b", "z": "not in the policy"})
    assert texts == [("a", "one"), ("a", "two"), ("a", "own"), ("b", "map's b")]
