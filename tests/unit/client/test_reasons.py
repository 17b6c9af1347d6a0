"""Reasons, failures and exceptions agree with the contract's enum."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from trunkline.common.v1 import error_reason_pb2 as reason_pb
from trunkline_client import errors
from trunkline_client.errors import TrunklineError, error_class
from trunkline_client.failure import Failure, read_failure
from trunkline_client.reasons import REASONS, is_retryable, reason_name

_REASON_NAMES = [name for name in REASONS if name != "UNSPECIFIED"]


def _rpc_error(
    code: grpc.StatusCode, message: str, details: list[object] | None = None, raw: bytes | None = None
) -> grpc.aio.AioRpcError:
    trailing = []
    if details is not None:
        status = status_pb2.Status(code=code.value[0], message=message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)  # type: ignore[arg-type]  # a list of different messages
            status.details.append(packed)
        raw = status.SerializeToString()
    if raw is not None:
        trailing.append(("grpc-status-details-bin", raw))
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details=message)


@pytest.mark.parametrize("name", _REASON_NAMES)
def test_every_reason_has_a_status_a_fault_and_a_family(name: str) -> None:
    """No reason of the contract falls through to the base class."""
    spec = REASONS[name]

    assert spec.status in grpc.StatusCode.__members__
    assert spec.fault in {"CALLER", "LOAD", "REGION", "INTERNAL"}
    assert error_class(name, spec.status) is not TrunklineError


def test_every_mapped_reason_is_in_the_contract() -> None:
    """The table of exception classes names no reason that does not exist."""
    assert set(errors._BY_REASON) <= set(REASONS)


def test_unknown_reasons_are_judged_by_their_status() -> None:
    """A newer server's reason is repeated only where the status is UNAVAILABLE."""
    assert is_retryable("BRAND_NEW", "UNAVAILABLE")
    assert not is_retryable("BRAND_NEW", "ABORTED")
    assert not is_retryable("FIELD_INVALID", "UNAVAILABLE")


def test_reason_numbers_have_names() -> None:
    """The trail's numbers read as the wire's names, new ones stay visible."""
    assert reason_name(reason_pb.ERROR_REASON_STALE_MAP) == "STALE_MAP"
    assert reason_name(9999) == "UNKNOWN_9999"


def test_details_are_read_in_full() -> None:
    """Reason, metadata, delay and refused fields come out of the status details."""
    error = _rpc_error(
        grpc.StatusCode.INVALID_ARGUMENT,
        "top_k is out of bounds",
        [
            error_details_pb2.ErrorInfo(reason="FIELD_INVALID", domain="trunkline.dev", metadata={"field": "top_k"}),
            error_details_pb2.RetryInfo(retry_delay=duration_pb2.Duration(seconds=1, nanos=500_000_000)),
            error_details_pb2.BadRequest(
                field_violations=[error_details_pb2.BadRequest.FieldViolation(field="top_k", description="1 to 100")]
            ),
        ],
    )

    failure = read_failure(error)

    assert failure.reason == "FIELD_INVALID"
    assert dict(failure.metadata) == {"field": "top_k"}
    assert failure.retry_delay_s == 1.5
    assert [(item.field, item.description) for item in failure.fields] == [("top_k", "1 to 100")]
    assert not failure.is_transport


@pytest.mark.parametrize(
    "error",
    [
        _rpc_error(grpc.StatusCode.UNAVAILABLE, "Socket closed"),
        _rpc_error(grpc.StatusCode.UNAVAILABLE, "x", raw=b"\xff\xff\xff"),
        _rpc_error(grpc.StatusCode.UNAVAILABLE, "x", raw=status_pb2.Status(code=3, message="y").SerializeToString()),
        _rpc_error(
            grpc.StatusCode.UNAVAILABLE, "x", [error_details_pb2.ErrorInfo(reason="OVERLOADED", domain="other.dev")]
        ),
    ],
    ids=["none", "garbage", "contradiction", "foreign"],
)
def test_an_error_without_our_details_is_a_transport_error(error: grpc.aio.AioRpcError) -> None:
    """Missing, broken, contradicting or foreign details say only that the router did not answer."""
    failure = read_failure(error)

    assert failure.reason == ""
    assert failure.is_transport
    assert failure.retryable


def test_exception_text_tells_what_to_do() -> None:
    """The text holds the reason, the delay, the advice, the attempts and the request id."""
    failure = Failure("QUOTA_EXHAUSTED", "RESOURCE_EXHAUSTED", "the quota is spent", {"tenant": "acme"}, 2.0)
    attempts = [errors.Attempt("eu-west", "127.0.0.1:7101", "QUOTA_EXHAUSTED", 0.012)]
    error = error_class(failure.reason, failure.status)(failure, request_id="abc", attempts=attempts)

    assert isinstance(error, errors.QuotaExhausted)
    assert error.retryable
    assert str(error) == (
        "QUOTA_EXHAUSTED: the quota is spent. Try again in 2.00 s. Send less, wait for retry_delay_s, or ask for a "
        "higher quota. Attempts: eu-west 127.0.0.1:7101 QUOTA_EXHAUSTED after 12 ms. Request abc."
    )
