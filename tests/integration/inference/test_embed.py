"""Embeddings of the real model through the real service."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import pytest
from tests.integration.inference.service import MODEL, REVISION, Inference, error_of

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline_inference.triton_client import open_triton
from trunkline_local.readiness import eventually
from trunkline_mesh.errors import CredentialMissing, DeadlineExceeded, FieldInvalid, MessageMalformed, ModelUnknown

LONG = "A paragraph about garbage collection, reference counting and the lifetime of objects in Python. " * 12


async def test_vectors_have_length_one_and_the_space_s_dimension(inference: Inference) -> None:
    """Whatever the text: short, long, foreign, white space, a lone sign."""
    vectors = await inference.embed("a", LONG * 20, "\u4f60\u597d \U0001f600", " \n", "?", "x" * 32_768)

    assert vectors.shape == (6, 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(6), abs=1e-4)


async def test_a_vector_does_not_depend_on_its_neighbours(inference: Inference) -> None:
    """A text in a batch of very different lengths has the vector that it has alone."""
    texts = [f"{'word ' * count}end" for count in (1, 150, 2, 40, 3, 90, 4, 5)]
    together = await inference.as_tenant("other").embed(*texts)
    alone = np.concatenate([await inference.embed(text) for text in texts])

    assert (together * alone).sum(axis=1) == pytest.approx(np.ones(len(texts)), abs=1e-4)


async def test_near_texts_lie_nearer(inference: Inference) -> None:
    """Meaning, not words, decides."""
    leak, memory, football = await inference.embed(
        "How to debug memory leaks in Python?",
        "Find out which objects are not freed by the garbage collector",
        "The football match ended in a draw",
    )

    assert leak @ memory > leak @ football + 0.1


async def test_equal_texts_are_computed_once(inference: Inference) -> None:
    """The second time the vector comes from the cache, bit for bit the same."""
    first = await inference.embed("a question", "another one", "a question")

    assert await inference.cached_count("another one", "a new one", "a question") == 2
    assert np.array_equal(await inference.embed("a question"), first[:1])
    assert np.array_equal(first[0], first[2])


async def test_what_one_tenant_asked_is_not_cached_for_another(inference: Inference) -> None:
    """`cached_count` tells nothing of other tenants."""
    await inference.embed("the secret plan")

    assert await inference.as_tenant("rival").cached_count("the secret plan") == 0
    assert await inference.cached_count("the secret plan") == 1


async def test_a_batch_of_the_largest_size_is_answered(inference: Inference) -> None:
    """64 texts, in order."""
    texts = [f"text number {number}" for number in range(64)]
    vectors = await inference.embed(*texts, passages=True)
    single = await inference.embed(texts[37], passages=True)

    assert vectors.shape == (64, 384)
    assert np.array_equal(vectors[37], single[0])


async def test_a_tiny_deadline_is_refused_and_harms_nobody(inference: Inference) -> None:
    """The answer is a typed expiry; the same text is served to who has time."""
    for _ in range(5):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await inference.embedding([LONG], timeout_s=0.006)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    assert (await inference.embed(LONG)).shape == (1, 384)


async def test_cancelled_work_is_not_done(inference: Inference, triton_endpoint: str) -> None:
    """Most passages of a caller who left are never run, and a query that comes then is served."""
    async with open_triton(triton_endpoint) as triton:
        done_before = await texts_embedded(triton)
        call = inference.embedding([f"{number} {LONG}" for number in range(64)], passages=True)

        async def begun() -> bool:
            return await texts_embedded(triton) > done_before

        assert await eventually(begun, within_s=60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

        # Passages are served in order, so behind this one nothing is left of the others.
        await inference.embed("a passage of somebody who waits", passages=True)
        assert await texts_embedded(triton) - done_before < 64


async def texts_embedded(triton: Any) -> int:
    """Return how many texts the encoder has embedded so far."""
    statistics = await triton.get_inference_statistics("minilm_encoder")
    return int(statistics.model_stats[0].inference_count)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"texts": []}, FieldInvalid),
        ({"texts": ["x"] * 65}, FieldInvalid),
        ({"texts": [""]}, FieldInvalid),
        ({"model_id": "nobody"}, ModelUnknown),
        ({"model_revision": "int8-2"}, ModelUnknown),
        ({"model_id": "minilm-late-interaction"}, ModelUnknown),
        ({"input_kind": 9}, FieldInvalid),
    ],
    ids=str,
)
async def test_bad_input_gets_its_reason(
    inference: Inference, changes: dict[str, object], expected: type[Exception]
) -> None:
    """Each with one reason of the contract."""
    good: dict[str, object] = {"model_id": MODEL, "model_revision": REVISION, "texts": ["hello"]}
    request = inference_pb.EmbedRequest(**(good | changes))  # type: ignore[arg-type]  # bad values are the point
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.stub.Embed(request, timeout=10, metadata=inference.metadata)

    assert error_of(caught.value) is expected


async def test_bytes_that_are_no_message_and_calls_without_credential_are_refused(inference: Inference) -> None:
    """Broken UTF-8 in a text reaches no model."""
    async with grpc.aio.insecure_channel(inference.address) as channel:
        raw: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
            "/trunkline.inference.v1.InferenceService/Embed"
        )
        with pytest.raises(grpc.aio.AioRpcError) as malformed:
            await raw(b"\x1a\x02\xff\xfe", timeout=10, metadata=inference.metadata)
        with pytest.raises(grpc.aio.AioRpcError) as anonymous:
            await raw(b"", timeout=10)

    assert error_of(malformed.value) is MessageMalformed
    assert error_of(anonymous.value) is CredentialMissing


async def test_an_expired_call_has_the_contract_s_reason(inference: Inference) -> None:
    """Told apart from a model server that is slow: the caller's own time was short."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await inference.embedding([f"nobody asked this {LONG}"], timeout_s=0.012)

    if caught.value.trailing_metadata():  # else the client's own clock was first
        assert error_of(caught.value) is DeadlineExceeded
