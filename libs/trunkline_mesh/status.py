"""Domain errors to gRPC status with details, and back."""

from __future__ import annotations

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

_CODE_OF_NAME: Final = {code.name: code for code in grpc.StatusCode}
_STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"


def code_of(error: DomainError) -> grpc.StatusCode:
    """Return the gRPC code that the contracts give the error's reason."""
    return _CODE_OF_NAME[error.spec.status]


def to_proto(error: DomainError) -> status_pb2.Status:
    """Render an error as google.rpc.Status: exactly one ErrorInfo, RetryInfo and BadRequest where they apply."""
    status = status_pb2.Status(code=code_of(error).value[0], message=error.message[:MAX_MESSAGE_CHARS])
    info = error_details_pb2.ErrorInfo(reason=reason_name(error.reason), domain=ERROR_DOMAIN)
    for key, value in error.metadata.items():
        info.metadata[key] = value[:MAX_METADATA_VALUE_CHARS]
    status.details.add().Pack(info)
    if error.retry_delay_s is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(max(1, round(error.retry_delay_s * 1000)))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    if error.violations:
        bad = error_details_pb2.BadRequest()
        for violation in error.violations[:MAX_VIOLATIONS]:
            bad.field_violations.add(field=violation.field[:128], description=violation.description[:256])
        status.details.add().Pack(bad)
    return _trimmed(status, info)


def _trimmed(status: status_pb2.Status, info: error_details_pb2.ErrorInfo) -> status_pb2.Status:
    """Drop the optional parts of a status that is too large for gRPC's metadata limit."""
    if status.ByteSize() <= MAX_DETAILS_BYTES:
        return status
    bare = status_pb2.Status(code=status.code, message=status.message)
    bare.details.add().Pack(error_details_pb2.ErrorInfo(reason=info.reason, domain=info.domain))
    return bare


def to_trailers(error: DomainError) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """Return code, message and trailing metadata for `ServicerContext.abort`."""
    proto = to_proto(error)
    return code_of(error), proto.message, ((_STATUS_DETAILS_KEY, proto.SerializeToString()),)


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
