"""Deadlines only shrink, and work that nobody waits for is not done."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any

import grpc
import pytest
from tests.integration.mesh.caller import eventually
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.probe import CAP_S, SERVICE, SHAPES, Text

from trunkline_mesh import calls
from trunkline_mesh.breaker import Breaker, BreakerState
from trunkline_mesh.breaker_policy import REGION_POLICY
from trunkline_mesh.deadline import HOP_RESERVE_S, Deadline
from trunkline_mesh.errors import BackendTimeout, DeadlineExceeded
from trunkline_mesh.request import current_request

WIRE_ROUNDING_S = 0.2
"""gRPC rounds a timeout of 1 to 10 s up to the next 10 ms, or sends an earlier one again that is up to 3 % longer."""


async def tell_budget(_text: str, context: Any) -> str:
    scope = current_request()
    return f"{scope.deadline.remaining_s()} {scope.deadline_capped} {context.time_remaining()}"


async def never(_text: str, _context: Any) -> str:
    await asyncio.Event().wait()
    return "never"


@pytest.mark.parametrize(("asked_s", "capped"), [(None, True), (3600.0, True), (1.0, False)])
async def test_missing_and_absurd_deadlines_are_capped(serve: Serve, asked_s: float | None, *, capped: bool) -> None:
    """The method's cap is what a handler sees at most, and it is told so."""
    ours = await serve(tell_budget)
    for shape in SHAPES:
        left_s, was_capped, _ = (await ours.caller.call(shape=shape, timeout_s=asked_s)).text.split()
        assert 0 < float(left_s) <= min(CAP_S, asked_s or CAP_S) + WIRE_ROUNDING_S
        assert was_capped == str(capped)


async def test_a_naive_server_waits_for_ever(serve_naive: Serve) -> None:
    """Without a deadline the caller has none at all."""
    naive = await serve_naive(lambda _text, context: _remaining(context))
    assert (await naive.caller.call(timeout_s=None)).text == "None"


async def _remaining(context: Any) -> str:
    return str(context.time_remaining())


async def test_the_cap_is_enforced_where_the_caller_set_no_deadline(serve: Serve) -> None:
    """A handler that hangs is cancelled at its method's cap, and the caller gets the contract's status."""
    ours = await serve(never)
    shortened = (("trunkline-timeout-us", "150000"),)
    for timeout_s, metadata in ((None, ()), (3600.0, shortened)):
        answer = await ours.caller.call(shape="Brief", timeout_s=timeout_s, metadata=metadata)
        assert (answer.code, answer.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED")
    await eventually(lambda: len(ours.servicer.cancelled) == 2)


async def test_less_than_the_floor_is_refused_without_work(serve: Serve, serve_naive: Serve) -> None:
    """The handler never begins; a naive server begins what cannot be finished."""
    ours, naive = await serve(never), await serve_naive(never)
    await ours.caller.call(timeout_s=0.5, token="x.y.z")  # connects
    await naive.caller.call(timeout_s=0.1)
    for shape in SHAPES:
        answer = await ours.caller.call(shape=shape, timeout_s=0.015)
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert ours.servicer.began == []
    assert naive.servicer.began != []


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_callers_cancel_reaches_the_handler(serve: Serve, shape: str) -> None:
    """It ends there, it does not run to the end for nobody."""
    ours = await serve(never)
    task = asyncio.create_task(ours.caller.call("work", shape=shape))
    await eventually(lambda: ours.servicer.began == ["work"])
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: ours.servicer.cancelled == ["work"])
    assert ours.servicer.ended == []


async def test_a_callers_deadline_reaches_the_handler(serve: Serve) -> None:
    """The same for expiry, of every shape."""
    ours = await serve(never)
    for count, shape in enumerate(SHAPES, start=1):
        assert (await ours.caller.call(shape=shape, timeout_s=0.2)).code is grpc.StatusCode.DEADLINE_EXCEEDED
        await eventually(partial(_has_length, ours.servicer.cancelled, count))


async def test_every_hop_gets_less_than_its_caller_has_left(serve: Serve) -> None:
    """Three hops: each sees a shorter deadline, and identity, request id and attempt travel along."""
    seen: list[tuple[float, str, int, str]] = []

    def note() -> None:
        scope = current_request()
        subject = scope.principal.subject if scope.principal else ""
        seen.append((scope.deadline.remaining_s(), scope.request_id, scope.attempt, subject))

    async def last(_text: str, _context: Any) -> str:
        note()
        return "done"

    def forward_to(served: Any) -> Any:
        method = _method(served)

        async def forward(text: str, _context: Any) -> str:
            note()
            scope = current_request()
            budget = scope.deadline.within(CAP_S, reserve_s=HOP_RESERVE_S)
            answer: Any = await calls.call(method, Text(value=text), deadline=budget)
            return str(answer.value)

        return forward

    third = await serve(last)
    second = await serve(forward_to(third))
    first = await serve(forward_to(second))
    metadata = (("trunkline-request-id", "abc-123"), ("trunkline-attempt", "2"))
    for asked_s in (0.5, 1.2, 2.0, 3.333, 4.999):
        seen.clear()
        assert (await first.caller.call(timeout_s=asked_s, metadata=metadata)).text == "done"
        lefts_s = [left_s for left_s, *_ in seen]
        assert lefts_s[0] <= asked_s + WIRE_ROUNDING_S
        assert lefts_s[1] <= lefts_s[0] - HOP_RESERVE_S
        assert lefts_s[2] <= lefts_s[1] - HOP_RESERVE_S
        assert {tuple(rest) for _, *rest in seen} == {("abc-123", 2, "tester")}


async def test_a_naive_hop_gives_its_callee_more_time_than_it_has(serve_naive: Serve) -> None:
    """gRPC rounds timeouts up on the wire: of 1.981 s left, the callee may see 1.99 s."""
    naive = await serve_naive(lambda _text, context: _remaining(context))
    seen_s = [float((await naive.caller.call(timeout_s=1.981)).text) for _ in range(50)]
    assert max(seen_s) > 1.981


@pytest.mark.parametrize("sent", ["1500000", "x", "-1", "99999999999999999999"])
async def test_the_precise_timeout_only_ever_shortens(serve: Serve, sent: str) -> None:
    """It cannot lengthen what gRPC says, and anything but a plain number is ignored."""
    ours = await serve(tell_budget)
    left_s, _, _ = (await ours.caller.call(timeout_s=1.0, metadata=(("trunkline-timeout-us", sent),))).text.split()
    assert 0.5 < float(left_s) <= 1.0 + WIRE_ROUNDING_S
    left_s, _, _ = (await ours.caller.call(timeout_s=1.0, metadata=(("trunkline-timeout-us", "400000"),))).text.split()
    assert 0 < float(left_s) <= 0.4


async def test_cancelling_the_first_hop_cancels_the_last(serve: Serve) -> None:
    """Work that nobody waits for ends everywhere."""
    last = await serve(never)
    method = _method(last)

    async def forward(text: str, _context: Any) -> str:
        budget = current_request().deadline.within(CAP_S, reserve_s=HOP_RESERVE_S)
        answer: Any = await calls.call(method, Text(value=text), deadline=budget)
        return str(answer.value)

    first = await serve(forward)
    task = asyncio.create_task(first.caller.call("work"))
    await eventually(lambda: last.servicer.began == ["work"])
    task.cancel()
    await asyncio.wait([task])
    await eventually(lambda: last.servicer.cancelled == ["work"] and first.servicer.cancelled == ["work"])


async def test_a_dependencys_silence_is_told_from_the_callers_own_expiry(serve: Serve) -> None:
    """A hop that did not answer in its share counts against the dependency; the caller's own expiry does not."""
    last = await serve(never)
    method = _method(last)
    share, whole = Breaker("share", REGION_POLICY), Breaker("whole", REGION_POLICY)

    async def forward(text: str, _context: Any) -> str:
        deadline = current_request().deadline
        breaker, budget = (share, deadline.within(0.16)) if text == "share" else (whole, deadline)
        await breaker.call(lambda: calls.call(method, Text(value=text), deadline=budget))
        return "never"

    first = await serve(forward)
    for _ in range(5):
        answer = await first.caller.call("share", timeout_s=2.0)
        assert answer.reason == "BACKEND_TIMEOUT"
        assert (await first.caller.call("whole", timeout_s=0.05)).code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert share.state is BreakerState.OPEN
    assert whole.state is BreakerState.CLOSED
    assert (await first.caller.call("share", timeout_s=2.0)).reason == "CIRCUIT_OPEN"


async def test_outside_a_request_silence_is_the_dependencys(serve: Serve) -> None:
    """Background work has no caller whose time could be gone; only a deadline that was gone before is its own."""
    last = await serve(never)
    deadline = Deadline.after(0.05)
    metadata = (("authorization", f"Bearer {last.caller.token}"),)
    with pytest.raises(BackendTimeout):
        await calls.call(_method(last), Text(value="x"), deadline=deadline, metadata=metadata)
    with pytest.raises(DeadlineExceeded):
        await calls.call(_method(last), Text(value="x"), deadline=deadline, metadata=metadata)


async def test_work_that_expired_while_the_loop_was_blocked_is_not_begun(serve: Serve) -> None:
    """100 calls arrive behind a handler that blocks the loop for longer than they can wait: none is run."""

    async def block(text: str, _context: Any) -> str:
        if text == "block":
            time.sleep(0.6)  # noqa: ASYNC251 - the fault that is tested
        return text

    ours = await serve(block, max_concurrency=1, max_queue=200, max_queue_per_tenant=200)
    await ours.caller.call("warm up")
    blocker = asyncio.create_task(ours.caller.call("block"))
    late = [asyncio.create_task(ours.caller.call("late", timeout_s=0.3)) for _ in range(100)]
    answers = await asyncio.gather(*late)
    await blocker
    assert {answer.code for answer in answers} <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
    assert "late" not in ours.servicer.began
    assert (await ours.caller.call("after")).text == "after"


def _has_length(ledger: list[str], length: int) -> bool:
    return len(ledger) == length


def _method(served: Any) -> Any:
    return served.caller.channel.unary_unary(
        f"/{SERVICE}/Unary", request_serializer=Text.SerializeToString, response_deserializer=Text.FromString
    )
