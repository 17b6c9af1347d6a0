"""Deciding by a head, and a head as bytes."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.policy.heads_world import DIMENSION, SPACE, direction, outside_of, prototypes, texts_of

from trunkline_policy.basis import BasisText
from trunkline_policy.head import HeadSet
from trunkline_policy.prototypes import prototype_heads
from trunkline_policy.results import StageResult
from trunkline_policy.training import train_heads

HEAD = prototypes({"billing": 5, "devices": 5, "travel": 5})
TRAINED = train_heads(*texts_of({"billing": 30, "devices": 30, "travel": 30, "weather": 30}), **SPACE)


@pytest.mark.parametrize("head", [HEAD, TRAINED], ids=["prototypes", "linear"])
def test_the_nearest_topic_is_surest(head: HeadSet) -> None:
    """With a confidence that says so, and the cosine beside it."""
    found = head.decide(direction("collection travel").tolist()).collections

    assert found.candidates[0].name == "travel"
    assert found.confidence > 0.9
    assert found.candidates[0].similarity is not None
    assert found.candidates[0].similarity > 0.9
    assert found.in_scope is not None
    assert found.in_scope > 0.5


@pytest.mark.parametrize("head", [HEAD, TRAINED], ids=["prototypes", "linear"])
def test_what_is_near_to_nothing_belongs_nowhere(head: HeadSet) -> None:
    """Whatever the confidence in the best of bad ones."""
    found = head.decide((-direction("collection travel")).tolist()).collections

    assert found.in_scope is not None
    assert found.in_scope < 0.5


@pytest.mark.parametrize(
    "vector", [[0.0] * DIMENSION, [math.nan] * DIMENSION, [math.inf] * DIMENSION, [3e38] * DIMENSION]
)
def test_a_vector_without_direction_belongs_nowhere(vector: list[float]) -> None:
    """Zero, not a number, infinite, too long."""
    assert HEAD.decide(vector).collections == StageResult(in_scope=0.0)


def test_another_dimension_is_an_error() -> None:
    """Spaces do not mix."""
    with pytest.raises(ValueError, match="32"):
        HEAD.decide([1.0] * 16)


@given(st.lists(st.floats(-1, 1, width=32), min_size=DIMENSION, max_size=DIMENSION), st.floats(0.1, 100))
def test_confidences_are_probabilities_and_length_does_not_matter(vector: list[float], factor: float) -> None:
    """They are ordered, and no more than 1 together."""
    for head in (HEAD, TRAINED):
        one = head.decide(vector).collections
        confidences = [candidate.confidence for candidate in one.candidates]
        assert confidences == sorted(confidences, reverse=True)
        assert sum(confidences) <= 1.0 + 1e-5
        assert one.in_scope is not None
        assert 0.0 <= one.in_scope <= 1.0
        other = head.decide([value * factor for value in vector]).collections
        if np.linalg.norm(vector) > 1e-3:
            assert other.in_scope == pytest.approx(one.in_scope, abs=1e-3)


def test_at_most_64_candidates_of_a_thousand() -> None:
    """And the right one first."""
    head = prototypes({f"c{number:04}": 1 for number in range(1_000)})

    found = head.decide(direction("collection c0700").tolist()).collections

    assert found.candidates[0].name == "c0700"
    assert len(found.candidates) <= 64


@pytest.mark.parametrize("head", [HEAD, TRAINED], ids=["prototypes", "linear"])
def test_restricted_leaves_others_out_altogether(head: HeadSet) -> None:
    """Their rows are gone, and probabilities are over the rest."""
    left = head.restricted({"billing", "devices", "unknown"})

    found = left.decide(direction("collection travel").tolist()).collections

    assert left.collections == ("billing", "devices")
    assert {candidate.name for candidate in found.candidates} == {"billing", "devices"}
    assert sum(candidate.confidence for candidate in found.candidates) == pytest.approx(1.0, abs=1e-4)
    assert HeadSet.from_bytes(left.to_bytes()).to_bytes() == left.to_bytes()
    assert head.restricted(head.collections) is head
    assert head.restricted(()).decide(direction("x").tolist()).collections == StageResult(in_scope=0.0)


def test_examples_of_what_belongs_nowhere_count_against_it() -> None:
    """Only what is near to them."""
    texts, vectors = texts_of({"billing": 5, "devices": 5})
    more, others = outside_of(6)
    head = prototype_heads([*texts, *more], np.concatenate([vectors, others]), **SPACE)

    outside = head.decide(direction("elsewhere").tolist()).collections
    inside = head.decide(direction("collection billing").tolist()).collections

    assert outside.in_scope is not None
    assert inside.in_scope is not None
    assert outside.in_scope < 0.1 < 0.5 < inside.in_scope
    assert {candidate.name for candidate in outside.candidates} == {"billing", "devices"}


def test_templates_and_model_classes_are_decided_by_the_same_product() -> None:
    """Families without texts are None."""
    texts, vectors = texts_of({"billing": 3})
    more, others = texts_of({"how-to": 3, "table": 3}, family="template")
    head = prototype_heads([*texts, *more], np.concatenate([vectors, others]), **SPACE)

    found = head.decide(direction("template table").tolist())

    assert found.templates is not None
    assert found.templates.candidates[0].name == "table"
    assert found.model_classes is None


@pytest.mark.parametrize("head", [HEAD, TRAINED], ids=["prototypes", "linear"])
def test_bytes_give_the_same_head(head: HeadSet) -> None:
    """To the last bit of every decision."""
    again = HeadSet.from_bytes(head.to_bytes())

    assert again.to_bytes() == head.to_bytes()
    assert again.kind == head.kind
    for seed in range(20):
        vector = np.random.default_rng(seed).normal(size=DIMENSION).tolist()
        assert again.decide(vector) == head.decide(vector)


def test_damaged_bytes_are_refused_or_harmless() -> None:
    """Whatever byte is wrong or missing: ValueError, or a head that still decides."""
    content = TRAINED.to_bytes()
    generator = random.Random(5)
    for _ in range(400):
        damaged = bytearray(content[: generator.choice((len(content), generator.randrange(len(content))))])
        for _ in range(generator.randrange(3)):
            if damaged:
                damaged[generator.randrange(min(len(damaged), 900))] = generator.randrange(256)
        try:
            head = HeadSet.from_bytes(bytes(damaged))
            head.decide([1.0] * head.dimension)
        except ValueError:
            continue


@pytest.mark.parametrize(
    "content", [b"", b"TLHEAD1\n", b"TLHEAD1\n\xff\xff\xff\xff{}", b"\x80\x04K\x01.", b"TLHEAD1\n\x02\0\0\0[]"]
)
def test_what_is_no_head_is_refused(content: bytes) -> None:
    """Empty, cut, a pickle, another document."""
    with pytest.raises(ValueError, match="head"):
        HeadSet.from_bytes(content)


def test_unusable_vectors_are_left_out() -> None:
    """A target of which nothing is left is not among the targets."""
    texts, vectors = texts_of({"billing": 3, "devices": 1, "travel": 2})
    vectors[3] = 0
    vectors[4] = math.nan

    head = prototype_heads(texts, vectors, **SPACE)

    assert head.collections == ("billing", "travel")
    assert head.example_count == 6


def test_no_texts_make_a_head_that_chooses_nothing() -> None:
    """It belongs nowhere, rather than failing."""
    head = prototype_heads([], np.zeros((0, DIMENSION)), **SPACE)

    assert head.decide([1.0] * DIMENSION).collections == StageResult(in_scope=0.0)
    assert HeadSet.from_bytes(head.to_bytes()).collections == ()


def test_contradictory_examples_share_the_confidence() -> None:
    """Two targets with the very same texts are equally likely."""
    texts = [BasisText("collection", name, "example", "same") for name in ("a", "b")]

    found = prototype_heads(texts, np.stack([direction("x")] * 2), **SPACE).decide(direction("x").tolist()).collections

    assert [candidate.name for candidate in found.candidates] == ["a", "b"]
    assert found.confidence == pytest.approx(0.5, abs=1e-3)


def test_vectors_must_fit_the_texts() -> None:
    """One for each, all of one length."""
    with pytest.raises(ValueError, match="one vector"):
        prototype_heads([BasisText("collection", "a", "example", "x")], np.zeros((2, 4)), **SPACE)
