"""Domain errors to gRPC status with details, and back."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import grpc
from google.protobuf import duration_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_mesh.errors import ERROR_OF_REASON, DomainError, FieldViolation, reason_name

ERROR_DOMAIN: Final = "trunkline.dev"
MAX_DETAILS_BYTES: Final = 6 * 1024
"""gRPC rejects metadata between 8 and 16 KiB at random and hides the real code, so details stay well below."""
MAX_MESSAGE_CHARS: Final = 512
MAX_METADATA_VALUE_CHARS: Final = 1024
MAX_VIOLATIONS: Final = 16
MAX_KEPT_ERRORS: Final = 256
MAX_KEPT_DELAYS: Final = 4096
"""Rendered errors and delays that are kept ready: a flood is refused with the same few, again and again."""

_CODE_OF_NAME: Final = {code.name: code for code in grpc.StatusCode}
_STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"


def code_of(error: DomainError) -> grpc.StatusCode:
    """Return the gRPC code that the contracts give the error's reason."""
    return _CODE_OF_NAME[error.spec.status]


def to_proto(error: DomainError) -> status_pb2.Status:
    """Render an error as google.rpc.Status: exactly one ErrorInfo, RetryInfo and BadRequest where they apply."""
    status = _rendered(error)
    if status.ByteSize() <= MAX_DETAILS_BYTES:
        return status
    # Too large for gRPC's metadata limit: without the optional parts.
    bare = status_pb2.Status(code=status.code, message=status.message)
    bare.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason_name(error.reason), domain=ERROR_DOMAIN))
    return bare


def _rendered(error: DomainError) -> status_pb2.Status:
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message[:MAX_MESSAGE_CHARS])
    info = error_details_pb2.ErrorInfo(reason=reason_name(error.reason), domain=ERROR_DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = value[:MAX_METADATA_VALUE_CHARS]
    status.details.add().Pack(info)
    if error.retry_delay_s is not None:
        status.details.add().Pack(_retry_info(_whole_ms(error.retry_delay_s)))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:MAX_VIOLATIONS]:
            bad.field_violations.add(field=violation.field[:128], description=violation.description[:256])
        status.details.add().Pack(bad)
    return status


def _whole_ms(delay_s: float) -> int:
    return max(1, round(delay_s * 1000))


def _retry_info(delay_ms: int) -> error_details_pb2.RetryInfo:
    delay = duration_pb2.Duration()
    delay.FromMilliseconds(delay_ms)
    return error_details_pb2.RetryInfo(retry_delay=delay)


def to_trailers(error: DomainError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return code, message and trailing metadata for `ServicerContext.abort`: what `to_proto` says, in bytes.

    Most refusals differ in their delay alone. Messages of protobuf that are written one behind the other read as one,
    with the repeated fields of both, so the delay is put behind an error that was rendered before.
    """
    if not error.violations:
        code, message, details = _without_delay(error.reason, error.message, tuple(error.metadata.items()))
        if error.retry_delay_s is not None:
            details += _delay(_whole_ms(error.retry_delay_s))
        if len(details) <= MAX_DETAILS_BYTES:
            return code, message, ((_STATUS_DETAILS_KEY, details),)
    proto = to_proto(error)
    return code_of(error), proto.message, ((_STATUS_DETAILS_KEY, proto.SerializeToString()),)


@lru_cache(maxsize=MAX_KEPT_ERRORS)
def _without_delay(
    reason: int, message: str, metadata: tuple[tuple[str, str], ...]
) -> tuple[grpc.StatusCode, str, bytes]:
    error = ERROR_OF_REASON[reason](message, metadata=dict(metadata))
    status = _rendered(error)
    return code_of(error), status.message, status.SerializeToString()


@lru_cache(maxsize=MAX_KEPT_DELAYS)
def _delay(delay_ms: int) -> bytes:
    status = status_pb2.Status()
    status.details.add().Pack(_retry_info(delay_ms))
    details: bytes = status.SerializeToString()
    return details


def from_rpc_error(rpc_error: grpc.aio.AioRpcError) -> DomainError | None:
    """Turn another service's refusal back into its domain error; None if it carries no reason of ours."""
    try:
        proto = rpc_status.from_call(rpc_error)
        if proto is None:
            return None
        info, retry_delay_s, violations = _unpack(proto)
    except (ValueError, DecodeError):  # details that are none, or contradict the status: treat them as absent
        return None
    if info is None or info.domain != ERROR_DOMAIN:
        return None
    number = reasons_pb.ErrorReason.DESCRIPTOR.values_by_name.get("ERROR_REASON_" + info.reason)
    leaf = ERROR_OF_REASON.get(number.number) if number is not None else None
    if leaf is None:
        return None
    return leaf(proto.message, retry_delay_s=retry_delay_s, metadata=dict(info.metadata), violations=violations)


def _unpack(
    proto: status_pb2.Status,
) -> tuple[error_details_pb2.ErrorInfo | None, float | None, list[FieldViolation]]:
    info: error_details_pb2.ErrorInfo | None = None
    retry_delay_s: float | None = None
    violations: list[FieldViolation] = []
    for detail in proto.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo()
            detail.Unpack(info)
        elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
            retry = error_details_pb2.RetryInfo()
            detail.Unpack(retry)
            retry_delay_s = retry.retry_delay.ToMilliseconds() / 1000
        elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest()
            detail.Unpack(bad)
            violations = [FieldViolation(v.field, v.description) for v in bad.field_violations]
    return info, retry_delay_s, violations
