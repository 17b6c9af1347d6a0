"""Reciprocal rank fusion and ties."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline_retrieval.fusion import (
    QDRANT_RRF_K,
    RRF_K,
    candidates_per_list,
    reciprocal_rank_fusion,
    tie_crosses_end,
)

RANKINGS = st.lists(st.lists(st.sampled_from("abcdefgh"), unique=True), max_size=4)


def test_scores_are_sums_of_reciprocal_ranks() -> None:
    """The first of a list counts 1/61, the second 1/62, and lists add up."""
    scores = reciprocal_rank_fusion([["a", "b"], ["b", "c"]])

    expected = {"a": Fraction(1, 61), "b": Fraction(1, 62) + Fraction(1, 61), "c": Fraction(1, 62)}
    assert scores == pytest.approx({name: float(score) for name, score in expected.items()})


def test_qdrant_counts_from_zero() -> None:
    """Qdrant's 1 / (k + position from 0) with our k is the paper's 1 / (60 + rank from 1)."""
    assert QDRANT_RRF_K + 0 == RRF_K + 1


@settings(deadline=None)  # time decides nothing here
@given(RANKINGS)
def test_order_of_lists_does_not_matter(lists: list[list[str]]) -> None:
    """Joining is symmetric."""
    assert reciprocal_rank_fusion(lists) == pytest.approx(reciprocal_rank_fusion(lists[::-1]))


@settings(deadline=None)  # time decides nothing here
@given(RANKINGS)
def test_a_document_ranked_better_everywhere_scores_higher(lists: list[list[str]]) -> None:
    """Joining keeps an order that all lists agree on."""
    scores = reciprocal_rank_fusion(lists)
    for better in scores:
        for worse in scores.keys() - {better}:
            if all(_rank(ranked, better) < _rank(ranked, worse) for ranked in lists if {better, worse} & set(ranked)):
                assert scores[better] > scores[worse]


def test_repeated_entries_count_once() -> None:
    """A list that names a document twice gives it its best rank only."""
    assert reciprocal_rank_fusion([["a", "b", "a", "c"]]) == reciprocal_rank_fusion([["a", "b", "c"]])


@pytest.mark.parametrize(("limit", "expected"), [(1, 40), (20, 40), (21, 42), (200, 400)])
def test_candidates_grow_with_the_limit(limit: int, expected: int) -> None:
    """Each list contributes twice the limit, and at least 40."""
    assert candidates_per_list(limit) == expected


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([3, 2, 1, 1], False),
        ([3, 2, 2, 2], True),
        ([2, 2, 2, 2], True),
        ([3, 2, 2], False),
        ([], False),
    ],
)
def test_tie_across_the_end_is_seen(scores: list[float], expected: bool) -> None:
    """More is asked for only if everything that was asked for came and the last wanted score runs to its end."""
    assert tie_crosses_end(scores, limit=2, asked=4) is expected


def _rank(ranked: list[str], name: str) -> int:
    return ranked.index(name) if name in ranked else len(ranked)
