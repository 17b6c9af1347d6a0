"""Joining lists of several collections: laws."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.routing.world import EU, hit, same_ids

from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline_routing.edge.merge import RRF_K, merge
from trunkline_routing.edge.model import Hit

Results = list[tuple[float, list[Hit]]]


@st.composite
def results_of_collections(draw: st.DrawFn) -> Results:
    """Lists of distinct documents, each of a collection of its own, best first."""
    results: Results = []
    for number in range(draw(st.integers(0, 5))):
        ids = draw(st.lists(st.sampled_from("abcdefghij"), unique=True, max_size=8))
        weight = draw(st.floats(0, 1))
        results.append((weight, [hit(one, f"c{number}", EU, 1 / (1 + rank)) for rank, one in enumerate(ids)]))
    return results


def keys(hits: list[Hit]) -> list[tuple[str, str]]:
    return [(one.collection, one.document.document_id) for one in hits]


@given(results=results_of_collections(), limit=st.integers(1, 30), seed=st.integers())
def test_the_order_of_the_lists_does_not_matter(results: Results, limit: int, seed: int) -> None:
    """Collections answer in any order; the caller must not see which was first."""
    shuffled = list(results)
    random.Random(seed).shuffle(shuffled)
    assert keys(merge(results, limit)) == keys(merge(shuffled, limit))


@given(results=results_of_collections(), limit=st.integers(1, 30))
def test_nothing_is_invented_doubled_or_out_of_order(results: Results, limit: int) -> None:
    """The best `limit` of what came in, by falling score."""
    merged = merge(results, limit)
    given_keys = [key for _, hits in results for key in keys(hits)]
    assert len(merged) == min(limit, len(given_keys))
    assert len(set(keys(merged))) == len(merged)
    assert set(keys(merged)) <= set(given_keys)
    scores = [one.score for one in merged]
    assert scores == sorted(scores, reverse=True)


@given(results=results_of_collections())
def test_a_collections_own_order_is_kept(results: Results) -> None:
    """Fusion interleaves lists; it does not turn them round (a weight of 0 says nothing of the order)."""
    merged = keys(merge(results, 1000))
    for weight, hits in results:
        own = [key for key in merged if key in set(keys(hits))]
        if weight > 1e-9:
            assert own == keys(hits)


@given(results=results_of_collections(), limit=st.integers(1, 30))
def test_a_shorter_answer_is_the_beginning_of_a_longer_one(results: Results, limit: int) -> None:
    """Asking for more changes nothing of what came first."""
    assert keys(merge(results, limit)) == keys(merge(results, limit + 5))[:limit]


def test_the_formula_is_weighted_rrf() -> None:
    """`weight / (60 + rank)`."""
    merged = merge([(0.9, [hit("a", "x", EU, 0.1)]), (0.3, [hit("b", "y", EU, 99.0), hit("c", "y", EU, 98.0)])], 10)
    assert same_ids(merged) == ["a", "b", "c"]
    expected = [0.9 / (RRF_K + 1), 0.3 / (RRF_K + 1), 0.3 / (RRF_K + 2)]
    assert [one.score for one in merged] == pytest.approx(expected)
    assert {one.score_kind for one in merged} == {options_pb.SCORE_KIND_RRF}


def test_ties_are_broken_by_id() -> None:
    """The same question gets the same order."""
    merged = merge([(0.5, [hit("z", "b", EU, 1)]), (0.5, [hit("a", "b2", EU, 1)]), (0.5, [hit("a", "b", EU, 1)])], 10)
    assert keys(merged) == [("b", "a"), ("b", "z"), ("b2", "a")]


def test_one_list_keeps_its_own_scores() -> None:
    """They mean something inside one collection."""
    only = [hit("a", "x", EU, 0.9), hit("b", "x", EU, 0.8)]
    assert merge([(0.2, only), (0.9, [])], 10) == only
    assert merge([], 10) == []
