"""Scores of the real model through the real service."""

from __future__ import annotations

import grpc
import numpy as np
import pytest
from tests.integration.inference.service import PATIENT_S, Inference, error_of

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline_mesh.errors import FieldInvalid, ModelUnknown

QUERY = "How do I find memory leaks?"
PASSAGES = (
    "The tracemalloc module traces memory blocks allocated by Python and shows where leaks grow.",
    "Football is played by two teams of eleven players.",
    "The gc module finds objects that are unreachable and can report leaks.",
    "Bread is baked from flour, water, yeast and salt.",
)


async def test_what_answers_the_query_scores_higher(inference: Inference) -> None:
    """Both passages on memory lie before both others."""
    scores = await inference.score(QUERY, PASSAGES)

    assert min(scores[0], scores[2]) > max(scores[1], scores[3]) + 0.1


async def test_a_score_depends_on_query_and_passage_alone(inference: Inference) -> None:
    """Not on the batch, not on the order, not on whether the passage's vectors were remembered: bit for bit."""
    fresh = inference.as_tenant("fresh")
    first = await fresh.score(QUERY, PASSAGES)
    again = await fresh.score(QUERY, PASSAGES[::-1])
    await inference.as_tenant("writer").embed(*PASSAGES, passages=True)
    remembered = await inference.as_tenant("writer").score(QUERY, PASSAGES)
    single = [(await inference.as_tenant("single").score(QUERY, [passage]))[0] for passage in PASSAGES]

    assert first == again[::-1]
    assert remembered == pytest.approx(first, abs=0.01)
    assert single == first


async def test_a_hundred_passages_are_scored_in_order(inference: Inference) -> None:
    """The largest request, with every fourth passage on the subject."""
    scores = np.array(await inference.score(QUERY, [PASSAGES[number % 4] for number in range(100)]))

    assert scores.shape == (100,)
    assert np.array_equal(scores[:4], scores[96:])
    assert np.isfinite(scores).all()


async def test_white_space_and_very_long_passages_are_scored(inference: Inference) -> None:
    """The model reads the beginning; nothing fails."""
    scores = await inference.score(" ", [" ", "x" * 32_768, "word " * 6_000])

    assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"query": ""}, FieldInvalid),
        ({"query": "x" * 4_097}, FieldInvalid),
        ({"passages": []}, FieldInvalid),
        ({"passages": ["x"] * 101}, FieldInvalid),
        ({"model_id": "all-minilm-l6-v2"}, ModelUnknown),
    ],
    ids=["no query", "long query", "no passages", "many passages", "not a scorer"],
)
async def test_bad_input_gets_its_reason(
    inference: Inference, changes: dict[str, object], expected: type[Exception]
) -> None:
    """Each with one reason of the contract."""
    good: dict[str, object] = {"query": "q", "passages": ["p"]}
    request = inference_pb.ScoreRequest(**(good | changes))  # type: ignore[arg-type]  # bad values are the point
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.stub.Score(request, timeout=PATIENT_S, metadata=inference.metadata)

    assert error_of(caught.value) is expected


async def test_the_answer_names_what_scored(inference: Inference) -> None:
    """An empty model id is the default model, and the answer says which that is."""
    response = await inference.stub.Score(
        inference_pb.ScoreRequest(query="q", passages=["p"]), timeout=PATIENT_S, metadata=inference.metadata
    )

    assert response.model == "minilm-late-interaction@int8-1"
