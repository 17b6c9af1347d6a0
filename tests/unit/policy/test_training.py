"""Training heads: when, how well, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.policy.heads_world import SPACE, around, direction, outside_of, texts_of

from trunkline_policy.basis import BasisText
from trunkline_policy.clusters import topics
from trunkline_policy.training import train_heads


def test_the_same_texts_give_the_same_bytes() -> None:
    """So that learners that work on one policy agree on the blob's name."""
    texts, vectors = texts_of({"a": 40, "b": 25, "c": 130})

    assert train_heads(texts, vectors, **SPACE).to_bytes() == train_heads(texts, vectors, **SPACE).to_bytes()


@pytest.mark.parametrize(
    ("counts", "kind"),
    [
        ({"a": 10, "b": 10}, "linear"),
        ({"a": 9, "b": 9}, "prototypes"),
        ({"a": 50}, "prototypes"),
        ({"a": 50, "b": 1}, "linear"),
        ({"a": 50, "b": 1, "c": 1}, "prototypes"),
    ],
)
def test_a_classifier_needs_examples_of_half_of_the_targets(counts: dict[str, int], kind: str) -> None:
    """And two targets at all."""
    assert train_heads(*texts_of(counts), **SPACE).kind == kind


def test_a_target_with_one_example_is_still_found() -> None:
    """Among others that have many."""
    head = train_heads(*texts_of({"a": 60, "b": 60, "c": 60, "rare": 1}), **SPACE)

    assert head.decide(direction("collection rare").tolist()).collections.candidates[0].name == "rare"


def test_a_broad_target_is_learnt_by_its_topics() -> None:
    """Each lies between topics of the other, so that one half-space cannot tell them apart."""
    texts, vectors = [], []
    axis = direction("axis")
    for number, name in enumerate(("even", "odd", "even", "odd")):
        centre = direction("centre") * 0.5 + axis * (number - 1.5)
        vectors.append(centre + around("none", 90, spread=0.05, seed=number) - direction("none"))
        texts += [BasisText("collection", name, "example", f"{name} {number} {one}") for one in range(90)]
    matrix = np.concatenate(vectors).astype(np.float32)

    head = train_heads(texts, matrix, **SPACE)

    right = [
        head.decide(vector).collections.candidates[0].name == text.target
        for text, vector in zip(texts, matrix, strict=True)
    ]
    assert np.mean(right) > 0.95


def test_contradictory_examples_leave_the_classifier_unsure() -> None:
    """The same texts labelled both ways are no reason to be sure of either."""
    texts, vectors = texts_of({"a": 20, "c": 20})
    again = [BasisText("collection", "b", "example", text.text) for text in texts[:20]]

    head = train_heads([*texts, *again], np.concatenate([vectors, vectors[:20]]), **SPACE)

    assert head.kind == "linear"
    assert head.decide(direction("collection a").tolist()).collections.confidence < 0.7


def test_what_belongs_nowhere_is_learnt_from_examples() -> None:
    """It takes part in training and is never a candidate."""
    texts, vectors = texts_of({"a": 30, "b": 30, "c": 30})
    more, others = outside_of(40)

    head = train_heads([*texts, *more], np.concatenate([vectors, others]), **SPACE)
    outside = head.decide(direction("elsewhere").tolist()).collections

    assert outside.in_scope is not None
    assert outside.in_scope < 0.2
    assert head.collections == ("a", "b", "c")


def test_topics_are_found_and_numbered_without_gaps() -> None:
    """As many as there are, and never more than texts."""
    rows = np.concatenate([around(name, 10, spread=0.02) for name in ("x", "y", "z")])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    found = topics(rows, 3)

    assert [len(set(found[start : start + 10].tolist())) for start in (0, 10, 20)] == [1, 1, 1]
    assert sorted(set(found.tolist())) == [0, 1, 2]
    assert set(topics(np.stack([rows[0]] * 5), 4).tolist()) == {0}
