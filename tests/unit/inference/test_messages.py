"""The contract's bounds, and how vectors are rendered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline_inference.embed_texts import Vector
from trunkline_inference.models import InputKind
from trunkline_inference.policy import POLICY, SERVICE
from trunkline_inference.servicer import check_score, parse_embed, render_embed
from trunkline_mesh.errors import FieldInvalid


def embed_request(**changes: object) -> inference_pb.EmbedRequest:
    good = {"model_id": "m", "model_revision": "1", "texts": ["hello"], "input_kind": 0}
    return inference_pb.EmbedRequest(**(good | changes))  # type: ignore[arg-type]  # bad values are the point


def score_request(**changes: object) -> inference_pb.ScoreRequest:
    return inference_pb.ScoreRequest(**({"query": "q", "passages": ["p"]} | changes))  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"texts": []}, ["texts"]),
        ({"texts": ["x"] * 65}, ["texts"]),
        ({"texts": ["ok", ""]}, ["texts[1]"]),
        ({"texts": ["x" * 32_769]}, ["texts[0]"]),
        ({"texts": ["\u00e4" * 16_385]}, ["texts[0]"]),
        ({"model_id": ""}, ["model_id"]),
        ({"model_id": "m" * 129}, ["model_id"]),
        ({"model_revision": ""}, ["model_revision"]),
        ({"input_kind": 7}, ["input_kind"]),
        ({"model_id": "", "texts": [""], "input_kind": -1}, ["model_id", "texts[0]", "input_kind"]),
    ],
)
def test_embed_refuses_what_is_out_of_bounds(changes: dict[str, object], fields: list[str]) -> None:
    """Every violation is named."""
    with pytest.raises(FieldInvalid) as caught:
        parse_embed(embed_request(**changes))

    assert [violation.field for violation in caught.value.violations] == fields


@pytest.mark.parametrize(
    "changes", [{"texts": ["x"] * 64}, {"texts": ["x" * 32_768]}, {"texts": ["\u00e4" * 16_384]}, {"texts": [" "]}]
)
def test_embed_takes_what_is_just_within_bounds(changes: dict[str, object]) -> None:
    """The bounds themselves are allowed, counted in bytes."""
    assert parse_embed(embed_request(**changes)).texts == changes["texts"]


def test_an_unspecified_kind_is_a_query() -> None:
    """As the contract says."""
    assert parse_embed(embed_request()).kind is InputKind.QUERY
    assert parse_embed(embed_request(input_kind=2)).kind is InputKind.PASSAGE


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"query": ""}, ["query"]),
        ({"query": "x" * 4_097}, ["query"]),
        ({"passages": []}, ["passages"]),
        ({"passages": ["x"] * 101}, ["passages"]),
        ({"passages": ["x", "", "x" * 32_769]}, ["passages[1]", "passages[2]"]),
        ({"model_id": "m" * 129}, ["model_id"]),
    ],
)
def test_score_refuses_what_is_out_of_bounds(changes: dict[str, object], fields: list[str]) -> None:
    """Every violation is named."""
    with pytest.raises(FieldInvalid) as caught:
        check_score(score_request(**changes))

    assert [violation.field for violation in caught.value.violations] == fields


@given(
    st.lists(
        st.tuples(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=4096), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
def test_rendered_bytes_are_the_message(vectors: list[tuple[list[float], bool]]) -> None:
    """Rendering from bytes gives the same message as from numbers, for any dimension."""
    response = render_embed([Vector(np.array(values, "<f4").tobytes(), cached) for values, cached in vectors])

    expected = inference_pb.EmbedResponse(
        embeddings=[inference_pb.Embedding(values=values) for values, _ in vectors],
        cached_count=sum(cached for _, cached in vectors),
    )
    assert inference_pb.EmbedResponse.FromString(response.SerializeToString()) == expected


def test_every_method_has_a_policy() -> None:
    """A method without one would be denied."""
    service = inference_pb.DESCRIPTOR.services_by_name["InferenceService"]

    assert service.full_name == SERVICE
    assert set(POLICY) == {f"/{SERVICE}/{method.name}" for method in service.methods}
