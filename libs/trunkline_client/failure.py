"""Reads one failed call: the reason and details that a server sent, or the lack of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from trunkline_client.reasons import ERROR_DOMAIN, is_retryable

# What a transport reports when the peer is gone, frozen or resets the stream. CANCELLED stands here because a server
# that stops answers so for calls it accepted and never handled (grpc/grpc#41785); our own cancellation is never seen
# as a status, it is a CancelledError.
_TRANSPORT_STATUSES: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that the server refused."""

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt. `reason` is empty where no Trunkline service spoke: a transport error or a foreign server."""

    reason: str
    status: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    retry_delay_s: float | None = None
    fields: tuple[FieldProblem, ...] = ()

    @property
    def is_transport(self) -> bool:
        """True if nothing is known but that the router did not answer."""
        return not self.reason and self.status in _TRANSPORT_STATUSES

    @property
    def is_timeout(self) -> bool:
        """True if the attempt's time ran out without a word from the server."""
        return not self.reason and self.status == "DEADLINE_EXCEEDED"

    @property
    def retryable(self) -> bool:
        """True if the same request may succeed later or at another router."""
        return self.is_transport or is_retryable(self.reason, self.status)


def read_failure(error: grpc.aio.AioRpcError) -> Failure:
    """Return what a failed call says. Broken or contradicting details count as none."""
    status_name = error.code().name
    details = _details(error)
    if details is None:
        return Failure("", status_name, error.details() or "no answer")
    return _from_status(details, status_name)


def _details(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    try:
        details: status_pb2.Status | None = rpc_status.from_call(error)
    except (ValueError, DecodeError):
        return None
    return details


def _from_status(details: status_pb2.Status, status_name: str) -> Failure:
    reason, metadata, delay_s, fields = "", {}, None, []
    for detail in details.details:
        info, retry, bad = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), error_details_pb2.BadRequest()
        try:
            if detail.Unpack(info) and info.domain == ERROR_DOMAIN:
                reason, metadata = info.reason, dict(info.metadata)
            elif detail.Unpack(retry):
                delay_s = max(0.0, retry.retry_delay.ToTimedelta().total_seconds())
            elif detail.Unpack(bad):
                fields += [FieldProblem(item.field, item.description) for item in bad.field_violations]
        except DecodeError:
            continue  # one unreadable detail must not hide the others
    return Failure(reason, status_name, details.message, metadata, delay_s, tuple(fields))
