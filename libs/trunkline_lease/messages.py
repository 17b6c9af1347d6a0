"""Asks and answers as messages of the Lease stream."""

from __future__ import annotations

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease.asks import Answer, Ask
from trunkline_lease.charge import Charge
from trunkline_lease.refused import Refused
from trunkline_lease.spent import Spent, TokenSource


def request_of(ask: Ask) -> admission_pb.LeaseRequest:
    """Return an ask as its message."""
    return admission_pb.LeaseRequest(
        tenant_id=ask.tenant_id,
        wanted_requests=ask.wanted.requests,
        wanted_tokens=ask.wanted.tokens,
        returned_requests=ask.returned.requests,
        returned_tokens=ask.returned.tokens,
        key=ask.key,
        advanced_requests=ask.advanced.requests,
        advanced_tokens=ask.advanced.tokens,
    )


def answer_of(response: admission_pb.LeaseResponse) -> Answer:
    """Return a message as an answer."""
    granted = Charge(max(0, response.granted_requests), max(0, response.granted_tokens))
    local = response.source == admission_pb.QUOTA_SOURCE_LOCAL
    spent = Spent(response.rank, TokenSource.LOCAL if local else TokenSource.AUTHORITY, tuple(response.limit_notes))
    valid = response.valid_duration
    return Answer(granted, valid.seconds + valid.nanos / 1e9, spent, None if granted else _refused(response))


def _refused(response: admission_pb.LeaseResponse) -> Refused:
    delay = response.retry_delay
    return Refused(
        delay.seconds + delay.nanos / 1e9 if response.HasField("retry_delay") else None,
        response.refused_scope,
        response.refused_period,
        response.refused_unit,
        response.refused_limit if response.refused_limit > 0 else None,
    )
