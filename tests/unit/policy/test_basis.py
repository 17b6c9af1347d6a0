"""What has to be embedded for a policy."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trunkline_policy.basis import basis_digest, basis_texts
from trunkline_policy.model import RoutingPolicy


def policy_of(**collections: Any) -> RoutingPolicy:
    return RoutingPolicy.model_validate({"version": 2, "collections": collections})


def test_the_maps_description_stands_in_where_the_policy_has_none() -> None:
    """The policy's own description wins."""
    policy = policy_of(a={"description": "own"}, b={"examples": ["x"]})

    found = [(text.target, text.kind, text.text) for text in basis_texts(policy, {"a": "map's a", "b": "map's b"})]

    assert found == [("a", "description", "own"), ("b", "description", "map's b"), ("b", "example", "x")]


def test_a_text_counts_once_for_a_target_and_for_each_that_claims_it() -> None:
    """White space and case make no other text."""
    policy = policy_of(a={"examples": ["Pay me", " pay  ME", "other"]}, b={"examples": ["pay me"]})

    found = [(text.target, text.text) for text in basis_texts(policy, {})]

    assert found == [("a", "Pay me"), ("a", "other"), ("b", "pay me")]


def test_what_belongs_nowhere_is_a_family_of_its_own() -> None:
    """Beside templates and model classes."""
    policy = RoutingPolicy.model_validate(
        {
            "version": 2,
            "collections": {"a": {"examples": ["x"]}},
            "templates": {"t": {"text": "T", "examples": ["y"]}},
            "model_classes": {"simple": {"examples": ["z"]}},
            "out_of_scope": ["w"],
        }
    )

    found = [(text.family, text.target) for text in basis_texts(policy, {})]

    assert found == [("collection", "a"), ("template", "t"), ("model_class", "simple"), ("out_of_scope", "")]


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=12),
    st.integers(0, 120),
)
def test_a_limit_is_shared_fairly(counts: list[int], limit: int) -> None:
    """Nobody gets two more than somebody who has more to give, and nothing is left over."""
    policy = policy_of(**{f"c{n}": {"examples": [f"{n} {i}" for i in range(count)]} for n, count in enumerate(counts)})

    found = Counter(text.target for text in basis_texts(policy, {}, limit=limit))

    assert found.total() == min(limit, sum(counts))
    short = [found[f"c{n}"] for n, count in enumerate(counts) if found[f"c{n}"] < count]
    assert not short or max(found.values(), default=0) - min(short) <= 1


def test_a_limited_target_gives_its_description_and_examples_from_all_over() -> None:
    """Not its first ones alone."""
    policy = policy_of(a={"description": "d", "examples": [f"e{n}" for n in range(100)]})

    assert [text.text for text in basis_texts(policy, {}, limit=5)] == ["d", "e0", "e25", "e50", "e75"]


def test_the_digest_depends_on_texts_and_model_and_on_nothing_else() -> None:
    """The order of collections in the policy is no difference."""
    one = policy_of(a={"examples": ["x"]}, b={"examples": ["y"]})
    other = policy_of(b={"examples": ["y"]}, a={"examples": ["x"]})
    moved = policy_of(a={"examples": ["x", "y"]}, b={"examples": ["z"]})

    digest = basis_digest(basis_texts(one, {}), "s", "m", "1")

    assert digest == basis_digest(basis_texts(other, {}), "s", "m", "1")
    assert digest != basis_digest(basis_texts(moved, {}), "s", "m", "1")
    assert digest != basis_digest(basis_texts(one, {}), "s", "m", "2")
