"""However a handler fails, the caller gets one status of the contract, at once, and no text of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.probe import SHAPES

from trunkline_mesh.errors import BackendUnavailable, FieldInvalid, FieldViolation

SECRET = "password=hunter2"
MALFORMED = b"\x0a\x05\xff\xfe\xfd\xfc\xfb"
"""A text field whose bytes are no UTF-8."""

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


async def refuse_without_awaiting(_text: str, context: Any) -> str:
    if not any(key == "x-trusted" for key, _ in context.invocation_metadata()):
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you?")  # the bug: no await
    return "the tenant's documents"


async def test_an_unawaited_abort_lets_everybody_in_and_our_auth_does_not_depend_on_one(
    serve: Serve, serve_naive: Serve
) -> None:
    """Naive: OK and the payload. Ours: refused before the handler runs, because auth raises instead."""
    naive, ours = await serve_naive(refuse_without_awaiting), await serve(refuse_without_awaiting)
    assert (await naive.caller.call()).text == "the tenant's documents"
    ours.caller.token = None
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape)
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")
    assert ours.servicer.began == []


async def cancel_a_step(_text: str, _context: Any) -> str:
    step = asyncio.create_task(asyncio.sleep(60))
    step.cancel()
    await step
    return "never"


async def test_a_cancelled_step_of_our_own_does_not_hang_the_caller(serve: Serve, serve_naive: Serve) -> None:
    """Naive: the caller waits until its deadline. Ours: UNAVAILABLE at once, for every shape."""
    naive, ours = await serve_naive(cancel_a_step), await serve(cancel_a_step)
    hung = await naive.caller.call(timeout_s=0.5)
    assert hung.code is grpc.StatusCode.DEADLINE_EXCEEDED
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape, timeout_s=5.0)
        assert (answer.code, answer.reason) == (grpc.StatusCode.UNAVAILABLE, "STEP_CANCELLED")


async def raise_plain(_text: str, _context: Any) -> str:
    raise ValueError(f"cannot connect: {SECRET}")


async def raise_in_group(_text: str, _context: Any) -> str:
    async with asyncio.TaskGroup() as group:
        group.create_task(raise_plain("", None))
    return "never"


async def raise_from_driver(_text: str, _context: Any) -> str:
    raise BackendUnavailable from ConnectionError(SECRET)


async def raise_domain_error_in_group(_text: str, _context: Any) -> str:
    async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
        outer.create_task(asyncio.sleep(60))
        inner.create_task(raise_from_driver("", None))
    return "never"


@pytest.mark.parametrize(
    ("behaviour", "code", "reason"),
    [
        (raise_plain, grpc.StatusCode.INTERNAL, "INTERNAL"),
        (raise_in_group, grpc.StatusCode.INTERNAL, "INTERNAL"),
        (raise_from_driver, grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE"),
        (raise_domain_error_in_group, grpc.StatusCode.UNAVAILABLE, "BACKEND_UNAVAILABLE"),
    ],
    ids=["plain", "in a group", "with a cause", "domain error in nested groups"],
)
async def test_no_exceptions_text_reaches_a_caller(
    serve: Serve, behaviour: Any, code: grpc.StatusCode, reason: str
) -> None:
    """Exactly one ErrorInfo of the contract instead, for every shape."""
    ours = await serve(behaviour)
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape)
        assert (answer.code, answer.reason, answer.infos) == (code, reason, 1)
        assert "hunter2" not in answer.everything
        assert ("errorId" in answer.metadata) == (reason == "INTERNAL")


async def test_a_naive_server_tells_callers_its_secrets(serve_naive: Serve) -> None:
    """Which is why the errors stage exists: UNKNOWN, with the exception's text."""
    naive = await serve_naive(raise_plain)
    answer = await naive.caller.call()
    assert answer.code is grpc.StatusCode.UNKNOWN
    assert "hunter2" in answer.text


async def test_malformed_bytes_are_the_callers_fault(serve: Serve, serve_naive: Serve) -> None:
    """Naive: UNKNOWN or INTERNAL, as if we were broken. Ours: INVALID_ARGUMENT, and the handler never runs."""
    naive, ours = await serve_naive(), await serve()
    assert (await naive.caller.call(raw=MALFORMED)).code in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape, raw=MALFORMED)
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "MESSAGE_MALFORMED")
    assert ours.servicer.began == []


async def test_malformed_bytes_without_a_credential_are_not_even_parsed(serve: Serve) -> None:
    """Identity comes first: strangers cannot exercise the parser."""
    ours = await serve()
    ours.caller.token = None
    assert (await ours.caller.call(raw=MALFORMED)).reason == "CREDENTIAL_MISSING"


@pytest.mark.parametrize(
    "error",
    [
        FieldInvalid("é" * 5000, metadata={f"key{n}": "é" * 5000 for n in range(50)}),
        FieldInvalid("€" * 512),
        FieldInvalid(violations=[FieldViolation("é" * 5000, "€" * 5000)] * 500),
    ],
    ids=["long metadata", "long message", "many violations"],
)
async def test_status_details_always_arrive(serve: Serve, serve_naive: Serve, error: FieldInvalid) -> None:
    """gRPC rejects trailers of 8 to 16 KiB at random and hides the real code: ours stay under 6 KiB, 50 times of 50."""

    async def fail(_text: str, _context: Any) -> str:
        raise error

    ours = await serve(fail)
    for _ in range(50):
        answer = await ours.caller.call()
        assert (answer.code, answer.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")
        assert answer.details_bytes <= 6 * 1024


async def test_large_status_details_of_a_naive_server_hide_the_real_code(serve_naive: Serve) -> None:
    """20,000 bytes of details, and the caller is told RESOURCE_EXHAUSTED."""

    async def fail(_text: str, context: Any) -> str:
        await context.abort(
            grpc.StatusCode.INVALID_ARGUMENT, "no", (("grpc-status-details-bin", b"\x08\x03" * 10_000),)
        )
        return "never"

    naive = await serve_naive(fail)
    call: Any = naive.caller.channel.unary_unary("/trunkline.test.v1.ProbeService/Unary")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", timeout=5)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
