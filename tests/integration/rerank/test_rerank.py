"""Reranking over real connections: the order, the time, and what happens when inference is slow or gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import grpc
import pytest
from tests.integration.inference.service import error_of, serve
from tests.integration.rerank.conftest import Start
from tests.integration.rerank.slow_inference import SlowInference

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.rerank.v1 import rerank_service_pb2 as rerank_pb
from trunkline_local.identity import DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_mesh.errors import BackendUnavailable, DeadlineExceeded, FieldInvalid

StartSlow = Callable[[float], Awaitable[tuple[SlowInference, str]]]

ANSWER = "Use tracemalloc to find where memory leaks in a Python program."
OTHERS = [f"Recipe number {number}: bread from flour, water, yeast and salt." for number in range(19)]


async def test_the_answer_comes_first_with_the_real_model(
    stack: AsyncExitStack, identity: DevIdentity, triton_endpoint: str, start_rerank: Start
) -> None:
    """20 candidates to 5 by default: the one on the subject rises from the end to the top."""
    inference = await serve(stack, identity, triton_endpoint)
    await inference.embed(ANSWER, *OTHERS, passages=True)
    rerank = await start_rerank(inference.address)
    response = await rerank.call([*OTHERS, ANSWER], query="How do I find memory leaks?")

    assert len(response.results) == 5
    assert response.results[0].candidate_id == "c19"
    assert (response.scored_count, len(response.degradations)) == (20, 0)
    assert response.model == "minilm-late-interaction@int8-1"


async def test_too_little_time_is_a_partial_answer(start_rerank: Start, start_slow: StartSlow) -> None:
    """Three seconds of work and one to do it in: the first candidates are ordered, the others follow."""
    slow, address = await start_slow(0.03)
    rerank = await start_rerank(address)
    response = await rerank.call(["word " * (index + 1) for index in range(100)], budget_s=0.999, top_n=100)
    count = response.scored_count

    assert 0 < count < 100
    assert [one.reason for one in response.degradations] == [trail_pb.DEGRADATION_REASON_RERANK_PARTIAL]
    expected = [*reversed(range(count)), *range(count, 100)]
    assert [one.candidate_id for one in response.results] == [f"c{index}" for index in expected]
    assert [one.scored for one in response.results] == [index < count for index in range(100)]
    assert len(slow.batches) > 1


@pytest.mark.parametrize("limits", [{"budget_s": 0.2}, {"timeout_s": 0.5}], ids=["budget", "deadline"])
async def test_nothing_scored_in_time_is_a_typed_refusal(
    start_rerank: Start, start_slow: StartSlow, limits: dict[str, float]
) -> None:
    """The answer comes before the caller's own clock ends, and the call to inference is cancelled."""
    slow, address = await start_slow(60.0)
    rerank = await start_rerank(address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rerank.call(["one", "two"], **limits)

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    if "budget_s" in limits:
        assert error_of(caught.value) is DeadlineExceeded
    async with asyncio.timeout(10):
        await slow.cancelled.wait()


async def test_short_budgets_do_not_rest_inference(start_rerank: Start, start_slow: StartSlow) -> None:
    """Callers in a hurry say nothing of the service: who has time is served."""
    slow, address = await start_slow(0.3)
    rerank = await start_rerank(address)
    for _ in range(6):
        with pytest.raises(grpc.aio.AioRpcError):
            await rerank.call(["one"], budget_s=0.05)
    slow.passage_s = 0.0

    assert (await rerank.call(["one", "one two"])).results[0].candidate_id == "c1"


async def test_a_caller_who_leaves_stops_the_work(start_rerank: Start, start_slow: StartSlow) -> None:
    """Cancelled at the front means cancelled behind."""
    slow, address = await start_slow(60.0)
    rerank = await start_rerank(address)
    call = rerank.call(["one"], timeout_s=60)
    async with asyncio.timeout(10):
        while not slow.batches:  # noqa: ASYNC110 - the call's arrival is what is waited for
            await asyncio.sleep(0.01)
        call.cancel()
        await slow.cancelled.wait()

    assert call.cancelled()


async def test_the_tenant_s_own_credential_travels_on(start_rerank: Start, start_slow: StartSlow) -> None:
    """Inference verifies the same token, so a rerank service cannot act for anybody else."""
    slow, address = await start_slow(0.0)
    rerank = await start_rerank(address)
    await rerank.call(["one"])

    assert slow.tokens == {rerank.token}


async def test_without_inference_it_is_a_typed_refusal(start_rerank: Start, port_allocator: PortAllocator) -> None:
    """The service starts all the same."""
    rerank = await start_rerank(f"127.0.0.1:{port_allocator.take()}")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rerank.call(["one"], timeout_s=10)

    assert error_of(caught.value) is BackendUnavailable


@pytest.mark.parametrize(
    "fields",
    [{"query": "x" * 5_000}, {"top_n": 101}, {"candidates": [rerank_pb.Candidate(candidate_id="c0", text="again")]}],
    ids=["query", "top_n", "doubled id"],
)
async def test_bad_input_gets_its_reason(start_rerank: Start, start_slow: StartSlow, fields: dict[str, object]) -> None:
    """Before inference is asked."""
    slow, address = await start_slow(0.0)
    rerank = await start_rerank(address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rerank.call(["one"], **fields)  # type: ignore[arg-type]  # fields of several types

    assert error_of(caught.value) is FieldInvalid
    assert not slow.batches


async def test_an_unknown_model_is_a_bad_field(
    stack: AsyncExitStack, identity: DevIdentity, triton_endpoint: str, start_rerank: Start
) -> None:
    """The contract of reranking knows no MODEL_UNKNOWN."""
    inference = await serve(stack, identity, triton_endpoint)
    rerank = await start_rerank(inference.address)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rerank.call(["one"], model_id="nobody")

    assert error_of(caught.value) is FieldInvalid
