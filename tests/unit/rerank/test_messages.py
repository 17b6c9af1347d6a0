"""The contract's bounds, and how a ranking is rendered."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline_mesh.errors import FieldInvalid
from trunkline_rerank.policy import POLICY, SERVICE
from trunkline_rerank.rerank_candidates import Ranked, Ranking
from trunkline_rerank.servicer import check, render


def candidate(candidate_id: str = "a", text: str = "t") -> rerank_pb.Candidate:
    return rerank_pb.Candidate(candidate_id=candidate_id, text=text)


def request(**changes: object) -> rerank_pb.RerankRequest:
    good = {"query": "q", "candidates": [candidate()]}
    return rerank_pb.RerankRequest(**(good | changes))  # type: ignore[arg-type]  # bad values are the point


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"query": ""}, ["query"]),
        ({"query": "x" * 4_097}, ["query"]),
        ({"candidates": []}, ["candidates"]),
        ({"candidates": [candidate(str(n)) for n in range(101)]}, ["candidates"]),
        ({"candidates": [candidate(""), candidate("b", "")]}, ["candidates[0].candidate_id", "candidates[1].text"]),
        ({"candidates": [candidate("i" * 257, "x" * 32_769)]}, ["candidates[0].candidate_id", "candidates[0].text"]),
        ({"candidates": [candidate("a"), candidate("b"), candidate("a")]}, ["candidates[2].candidate_id"]),
        ({"top_n": -1}, ["top_n"]),
        ({"top_n": 101}, ["top_n"]),
        ({"model_id": "m" * 129}, ["model_id"]),
        ({"time_budget": Duration()}, ["time_budget"]),
        ({"time_budget": Duration(seconds=-1)}, ["time_budget"]),
        ({"time_budget": Duration(seconds=1, nanos=-5)}, ["time_budget"]),
        ({"time_budget": Duration(seconds=2**40)}, ["time_budget"]),
    ],
)
def test_it_refuses_what_is_out_of_bounds(changes: dict[str, object], fields: list[str]) -> None:
    """Every violation is named."""
    with pytest.raises(FieldInvalid) as caught:
        check(request(**changes))

    assert [violation.field for violation in caught.value.violations] == fields


@pytest.mark.parametrize(
    "changes",
    [
        {"query": "\u00e4" * 2_048},
        {"candidates": [candidate(str(n)) for n in range(100)], "top_n": 100},
        {"candidates": [candidate("i" * 256, "x" * 32_768)], "top_n": 0},
        {"time_budget": Duration(nanos=1)},
    ],
)
def test_it_takes_what_is_just_within_bounds(changes: dict[str, object]) -> None:
    """The bounds themselves are allowed."""
    check(request(**changes))


def test_a_partial_ranking_says_so() -> None:
    """Nothing is degraded in silence, and nothing else is said to be."""
    results = [Ranked("a", 0.5, scored=True), Ranked("b", 0.0, scored=False)]
    partial = render(Ranking(results, 1, partial=True, model="m@1"))
    whole = render(Ranking(results[:1], 1, partial=False, model="m@1"))

    assert [one.reason for one in partial.degradations] == [trail_pb.DEGRADATION_REASON_RERANK_PARTIAL]
    assert [(one.candidate_id, one.score, one.scored) for one in partial.results] == [
        ("a", 0.5, True),
        ("b", 0.0, False),
    ]
    assert (partial.scored_count, partial.model) == (1, "m@1")
    assert not whole.degradations


def test_every_method_has_a_policy() -> None:
    """A method without one would be denied."""
    service = rerank_pb.DESCRIPTOR.services_by_name["RerankService"]

    assert service.full_name == SERVICE
    assert set(POLICY) == {f"/{SERVICE}/{method.name}" for method in service.methods}
