"""AdmissionService's messages: checked on the way in, built on the way out."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.granting import LeaseGrant
from trunkline_admission.notes import MAX_NOTES, notes_of, refused_of
from trunkline_admission.permit_table import Permit
from trunkline_admission.quota import QuotaSource
from trunkline_lease.asks import Ask
from trunkline_lease.charge import Charge
from trunkline_lease.refused import Refused
from trunkline_lease.spent import TokenSource
from trunkline_mesh.errors import FieldInvalid, FieldViolation

MAX_TOKENS: Final = 10_000
MAX_REQUESTS: Final = 64
"""Requests that one Admit may count as."""
MAX_MAP_TOKEN_BYTES: Final = 64
MAX_ID_CHARS: Final = 128
MAX_SETTLEMENTS: Final = 500

SOURCES: Final = {
    QuotaSource.AUTHORITY: admission_pb.QUOTA_SOURCE_AUTHORITY,
    QuotaSource.LOCAL: admission_pb.QUOTA_SOURCE_LOCAL,
}


@lru_cache(maxsize=4096)
def charge_of(requests: int, tokens: int) -> Charge:
    """Return a charge; few kinds of requests are most of them."""
    return Charge(requests, tokens)


def admit_charge(request: admission_pb.AdmitRequest) -> Charge:
    """Return what an Admit wants. Raises FieldInvalid."""
    tokens, requests = request.cost_tokens, request.requests
    if not (1 <= tokens <= MAX_TOKENS and 0 <= requests <= MAX_REQUESTS):
        wrong = _out_of(("cost_tokens", tokens, 1, MAX_TOKENS), ("requests", requests, 0, MAX_REQUESTS))
        raise FieldInvalid(violations=wrong)
    if len(request.map_token) > MAX_MAP_TOKEN_BYTES:
        raise FieldInvalid(violations=[FieldViolation("map_token", f"must be at most {MAX_MAP_TOKEN_BYTES} bytes")])
    return charge_of(requests or 1, tokens)


def admit_response(permit: Permit, replica: str, level: quota_pb.ServiceLevel.ValueType) -> admission_pb.AdmitResponse:
    """Return what a request got."""
    spent, charge = permit.spent, permit.charge
    response = admission_pb.AdmitResponse(level=level)
    told = response.permit
    told.permit_id = permit.permit_id
    told.rank = spent.rank
    told.reserved_tokens = charge.tokens
    told.requests = charge.requests
    told.replica = replica
    # Not `.value`: on an enum that is a call.
    local = spent.source is TokenSource.LOCAL
    told.source = admission_pb.QUOTA_SOURCE_LOCAL if local else admission_pb.QUOTA_SOURCE_AUTHORITY
    seconds = int(permit.expires_at_s)
    told.expire_time.seconds = seconds
    told.expire_time.nanos = int((permit.expires_at_s - seconds) * 1e9)
    if spent.notes:
        response.limit_notes.extend(spent.notes)
    return response


def check_settlement(request: admission_pb.SettleRequest, path: str = "") -> None:
    """Raise FieldInvalid for a settlement out of its bounds; `path` leads to it in a batch."""
    wrong = _out_of((f"{path}charged_tokens", request.charged_tokens, 0, MAX_TOKENS))
    if not 1 <= len(request.permit_id) <= MAX_ID_CHARS:
        wrong.append(FieldViolation(f"{path}permit_id", f"must be 1 to {MAX_ID_CHARS} characters"))
    if wrong:
        raise FieldInvalid(violations=wrong)


def check_settlements(request: admission_pb.SettleBatchRequest) -> None:
    """Raise FieldInvalid for a batch with too few or too many settlements, or with one that is out of its bounds."""
    if not 1 <= len(request.settlements) <= MAX_SETTLEMENTS:
        raise FieldInvalid(violations=[FieldViolation("settlements", f"must be 1 to {MAX_SETTLEMENTS}")])
    for index, one in enumerate(request.settlements):
        check_settlement(one, f"settlements[{index}].")


def ask_of(request: admission_pb.LeaseRequest) -> Ask:
    """Return a wish in plain terms. Raises FieldInvalid."""
    numbers = (
        ("wanted_tokens", request.wanted_tokens, 0, MAX_TOKENS),
        ("returned_tokens", request.returned_tokens, 0, MAX_TOKENS),
        ("wanted_requests", request.wanted_requests, 0, MAX_TOKENS),
        ("returned_requests", request.returned_requests, 0, MAX_TOKENS),
        ("advanced_requests", request.advanced_requests, 0, MAX_TOKENS),
        ("advanced_tokens", request.advanced_tokens, 0, MAX_TOKENS),
    )
    wrong = _out_of(*numbers)
    if not 1 <= len(request.tenant_id) <= MAX_ID_CHARS:
        wrong.append(FieldViolation("tenant_id", f"must be 1 to {MAX_ID_CHARS} characters"))
    if len(request.key) > MAX_ID_CHARS:
        wrong.append(FieldViolation("key", f"must be at most {MAX_ID_CHARS} characters"))
    if wrong:
        raise FieldInvalid(violations=wrong)
    return Ask(
        tenant_id=request.tenant_id,
        wanted=Charge(request.wanted_requests, request.wanted_tokens),
        asked_at_s=0.0,  # the validity counts from when the holder asked, which only the holder knows
        returned=Charge(request.returned_requests, request.returned_tokens),
        key=request.key,
        advanced=Charge(request.advanced_requests, request.advanced_tokens),
    )


def lease_response(ask: Ask, leased: LeaseGrant, valid: Duration) -> admission_pb.LeaseResponse:
    """Return the answer to a wish."""
    grant = leased.grant
    response = admission_pb.LeaseResponse(
        tenant_id=ask.tenant_id,
        key=ask.key,
        granted_requests=grant.granted.requests,
        granted_tokens=grant.granted.tokens,
        rank=leased.rank,
        source=SOURCES[grant.source],
        limit_notes=notes_of(grant.warnings),
    )
    if grant.granted:
        response.valid_duration.CopyFrom(valid)
    elif grant.refusal is not None:
        _tell_refusal(response, refused_of(grant.refusal))
    return response


def _tell_refusal(response: admission_pb.LeaseResponse, refused: Refused) -> None:
    """Tell a refusal; its limit, which is used up, stands first in the notes."""
    if refused.retry_delay_s is not None:
        response.retry_delay.FromMicroseconds(max(1, round(refused.retry_delay_s * 1e6)))
    response.refused_scope, response.refused_period = refused.scope, refused.period
    response.refused_unit = refused.unit
    response.refused_limit = refused.most or 0
    told = (refused.scope, refused.period, refused.unit, False)
    used_up = quota_pb.LimitNote(scope=refused.scope, period=refused.period, unit=refused.unit, used_part=1.0)
    first, others = [used_up], []
    for note in response.limit_notes:
        if (note.scope, note.period, note.unit, note.shadow) == told:
            first = [note]
        else:
            others.append(note)
    notes = [*first, *others][:MAX_NOTES]
    del response.limit_notes[:]
    response.limit_notes.extend(notes)


def _out_of(*numbers: tuple[str, int, int, int]) -> list[FieldViolation]:
    return [
        FieldViolation(field, f"must be {least} to {most}")
        for field, number, least, most in numbers
        if not least <= number <= most
    ]
