"""What a hop makes of the answers of others."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh import calls, errors
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.request import RANK_KEY, Principal, RequestScope, current_request, enter_request
from trunkline_mesh.serving import rank_by
from trunkline_mesh.status import to_trailers
from trunkline_mesh.trailers import PeerState
from trunkline_tiers import default_tiers, rank_table


def failure(code: grpc.StatusCode, error: errors.DomainError | None = None) -> grpc.aio.AioRpcError:
    """Return what a stub raises: with our details, or bare."""
    if error is None:
        return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details="vendor text")
    code, message, trailers = to_trailers(error)
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailers), details=message)


def in_request(left_s: float) -> None:
    principal = Principal("someone", "acme", frozenset(), "the-token", math.inf)
    enter_request(RequestScope("r-1", 2, "/x.Y/Z", Deadline.after(left_s), deadline_capped=False, principal=principal))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (grpc.StatusCode.UNAVAILABLE, errors.BackendUnavailable),
        (grpc.StatusCode.CANCELLED, errors.BackendUnavailable),
        (grpc.StatusCode.INTERNAL, errors.BackendUnavailable),
        (grpc.StatusCode.UNIMPLEMENTED, errors.BackendUnavailable),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Overloaded),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.BackendTimeout),
        (grpc.StatusCode.UNKNOWN, errors.Internal),
        (grpc.StatusCode.PERMISSION_DENIED, errors.Internal),
    ],
)
def test_transport_errors_are_judged_by_their_status(code: grpc.StatusCode, expected: type[errors.DomainError]) -> None:
    """And their text goes no further."""
    in_request(10)
    error = calls.translate(failure(code))
    assert type(error) is expected
    assert "vendor" not in error.message


def test_a_refusal_stays_what_it_is() -> None:
    """With its delay and its metadata."""
    in_request(10)
    error = calls.translate(failure(grpc.StatusCode.OK, errors.Overloaded(retry_delay_s=0.5, metadata={"a": "b"})))
    assert isinstance(error, errors.Overloaded)
    assert (error.retry_delay_s, dict(error.metadata)) == (0.5, {"a": "b"})


@pytest.mark.parametrize(
    ("left_s", "expected"), [(10.0, errors.BackendTimeout), (0.0, errors.DeadlineExceeded)], ids=["share", "whole"]
)
@pytest.mark.parametrize("bare", [True, False])
def test_whose_time_is_gone_is_told_apart(left_s: float, expected: type[errors.DomainError], *, bare: bool) -> None:
    """A callee that used up its share failed; one that was called for a caller who left did not."""
    in_request(left_s)
    refusal = None if bare else errors.DeadlineExceeded()
    assert type(calls.translate(failure(grpc.StatusCode.DEADLINE_EXCEEDED, refusal))) is expected


def test_another_services_lost_step_is_its_failure() -> None:
    """STEP_CANCELLED speaks of the process that says it."""
    in_request(10)
    error = calls.translate(failure(grpc.StatusCode.OK, errors.StepCancelled()))
    assert error.fault == reasons_pb.FAULT_REGION


async def test_a_call_without_time_is_not_made() -> None:
    """Not even begun."""
    in_request(10)

    def method(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("was called")

    with pytest.raises(errors.DeadlineExceeded):
        await calls.call(method, "request", deadline=Deadline.after(0.0005))  # type: ignore[arg-type]  # a stub's shape


class Pending:
    """What a stub returns: awaited for the response, asked for the trailing metadata after that."""

    def __init__(self, trailing: grpc.aio.Metadata, error: grpc.aio.AioRpcError | None = None) -> None:
        self.trailing = trailing
        self.error = error

    def __call__(self, *_args: Any, **_kwargs: Any) -> Pending:
        return self

    def __await__(self) -> Any:
        async def answer() -> str:
            if self.error is not None:
                raise self.error
            return "response"

        return answer().__await__()

    async def trailing_metadata(self) -> grpc.aio.Metadata:
        return self.trailing


async def test_a_listener_hears_what_an_answer_says_of_its_server() -> None:
    """Pressure and draining, of successes."""
    in_request(10)
    heard: list[PeerState] = []
    pending: Any = Pending(grpc.aio.Metadata(("trunkline-pressure", "0.75"), ("trunkline-draining", "1")))
    answer = await calls.call(pending, "request", deadline=Deadline.after(1), listener=heard.append)
    assert (answer, heard) == ("response", [PeerState(0.75, draining=True)])


async def test_a_listener_hears_refusals_too() -> None:
    """And not what says nothing: a transport error has no server behind it."""
    in_request(10)
    heard: list[PeerState] = []
    code, message, details = to_trailers(errors.Overloaded())
    trailing = grpc.aio.Metadata(*details, ("trunkline-pressure", "2.50"))
    refused = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailing, details=message)
    for error, leaf in (
        (refused, errors.Overloaded),
        (failure(grpc.StatusCode.UNAVAILABLE), errors.BackendUnavailable),
    ):
        pending: Any = Pending(trailing, error)
        with pytest.raises(leaf):
            await calls.call(pending, "request", deadline=Deadline.after(1), listener=heard.append)
    assert heard == [PeerState(2.5, draining=False)]


async def test_identity_request_and_time_travel_along() -> None:
    """The credential unchanged, and the time that is left to the microsecond."""
    in_request(10)
    seen: dict[str, Any] = {}

    async def method(_request: Any, *, timeout: float, metadata: Any) -> str:
        seen.update(metadata, timeout=timeout)
        return "response"

    assert await calls.call(method, "request", deadline=Deadline.after(1.5)) == "response"  # type: ignore[arg-type]  # as above
    assert seen["authorization"] == "Bearer the-token"
    assert (seen["trunkline-request-id"], seen["trunkline-attempt"]) == ("r-1", "2")
    assert int(seen["trunkline-timeout-us"]) <= seen["timeout"] * 1e6 <= 1.5e6


def test_the_rank_travels_with_every_call_of_a_request() -> None:
    """Once it is known; services without a map take it for true."""
    in_request(10)
    assert RANK_KEY not in dict(calls.forwarded_metadata())
    current_request().rank = 2
    assert dict(calls.forwarded_metadata())[RANK_KEY] == "2"


def test_services_with_a_map_find_ranks_themselves() -> None:
    """Who names no tenant, an operator or a service on its own behalf, ranks highest; without a map nobody is asked."""
    table = rank_table(default_tiers())
    found = rank_by({"acme": 1}.__getitem__, table)
    assert found is not None
    assert (found("acme"), found("")) == (1, 2)
    assert rank_by(None, table) is None
