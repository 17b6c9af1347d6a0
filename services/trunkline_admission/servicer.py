"""trunkline.admission.v1.AdmissionService: messages to plain values and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_admission.leases import LeaseGrant, Leases
from trunkline_admission.metrics import DECISIONS, TOKENS
from trunkline_admission.permits import AdmittedRequest, Permits
from trunkline_admission.pipeline import in_order
from trunkline_admission.policy import ADMIT_CAP_S
from trunkline_admission.quota import QuotaSource
from trunkline_mesh.deadline import HOP_RESERVE_S
from trunkline_mesh.errors import FieldInvalid, FieldViolation
from trunkline_mesh.request import current_principal, current_request, tenant_of

MAX_TOKENS: Final = 10_000
MAX_MAP_TOKEN_BYTES: Final = 64
MAX_ID_CHARS: Final = 128
MAP_RESERVE_PART: Final = 0.1
"""Of the deadline: kept back from waiting for the map."""
LEASE_WINDOW: Final = 32
"""Wishes of one stream that are worked on at a time, so that one slow answer costs the others its time only once."""

_SOURCES: Final = {
    QuotaSource.AUTHORITY: admission_pb.QUOTA_SOURCE_AUTHORITY,
    QuotaSource.LOCAL: admission_pb.QUOTA_SOURCE_LOCAL,
}
_Context = grpc.aio.ServicerContext[Any, Any]


class AdmissionServicer(admission_grpc.AdmissionServiceServicer):
    """The three methods of the contract."""

    def __init__(self, permits: Permits, leases: Leases, *, replica: str, lease_valid_s: float) -> None:
        """Serve these use cases as `replica`."""
        self._permits = permits
        self._leases = leases
        self._replica = replica
        self._valid = Duration()
        self._valid.FromMilliseconds(round(lease_valid_s * 1000))

    async def Admit(self, request: admission_pb.AdmitRequest, context: _Context) -> admission_pb.AdmitResponse:
        """Reserve tokens for one request."""
        _check_admit(request)
        tenant_id, scope = tenant_of(request.tenant_id), current_request()
        # Waiting for the map ends early enough for its refusal to reach the caller.
        reserve_s = max(HOP_RESERVE_S, scope.deadline.remaining_s() * MAP_RESERVE_PART)
        admitted = await self._permits.admit(
            tenant_id,
            scope.request_id,
            request.cost_tokens,
            request.map_token,
            scope.deadline.within(ADMIT_CAP_S, reserve_s=reserve_s),
        )
        return admission_pb.AdmitResponse(permit=self._permit(admitted))

    async def Settle(self, request: admission_pb.SettleRequest, context: _Context) -> admission_pb.SettleResponse:
        """End a permit with its real cost."""
        _check_settle(request)
        refunded = await self._permits.settle(tenant_of(""), request.permit_id, request.charged_tokens)
        TOKENS.labels("settled_back").inc(refunded)
        return admission_pb.SettleResponse(refunded_tokens=refunded)

    async def Lease(
        self, request_iterator: AsyncIterator[admission_pb.LeaseRequest], context: _Context
    ) -> AsyncGenerator[admission_pb.LeaseResponse, None]:
        """Exchange tokens with a router, wish by wish."""
        router = current_principal().subject

        async def answer(request: admission_pb.LeaseRequest) -> admission_pb.LeaseResponse:
            _check_lease(request)
            grant = await self._leases.exchange(
                router, request.tenant_id, request.wanted_tokens, request.returned_tokens
            )
            return self._lease_response(request, grant)

        # Sent before the first wish, so that a router knows that somebody is there.
        await context.send_initial_metadata(())
        async with aclosing(in_order(request_iterator, answer, window=LEASE_WINDOW, lane=_tenant_of_wish)) as responses:
            async for response in responses:
                yield response

    def _permit(self, admitted: AdmittedRequest) -> admission_pb.Permit:
        kept = admitted.reservation
        DECISIONS.labels("admit", "granted", kept.source.name, admitted.tier).inc()
        TOKENS.labels("reserved").inc(kept.reserved_tokens)
        expire_time = Timestamp()
        expire_time.FromMicroseconds(round(kept.expires_at_s * 1e6))
        return admission_pb.Permit(
            permit_id=kept.permit_id,
            rank=admitted.rank,
            reserved_tokens=kept.reserved_tokens,
            expire_time=expire_time,
            replica=self._replica,
            source=_SOURCES[kept.source],
        )

    def _lease_response(self, request: admission_pb.LeaseRequest, grant: LeaseGrant) -> admission_pb.LeaseResponse:
        response = admission_pb.LeaseResponse(
            tenant_id=request.tenant_id,
            granted_tokens=grant.granted_tokens,
            rank=grant.rank,
            source=_SOURCES[grant.source],
        )
        if grant.granted_tokens:
            response.valid_duration.CopyFrom(self._valid)
        elif grant.retry_delay_s is not None:
            response.retry_delay.FromMicroseconds(max(1, round(grant.retry_delay_s * 1e6)))
        if request.wanted_tokens:
            outcome = "granted" if grant.granted_tokens else "refused"
            DECISIONS.labels("lease", outcome, grant.source.name, grant.tier).inc()
            TOKENS.labels("leased").inc(grant.granted_tokens)
        return response


def _tenant_of_wish(request: admission_pb.LeaseRequest) -> str:
    return request.tenant_id


def _check_admit(request: admission_pb.AdmitRequest) -> None:
    wrong = []
    if not 1 <= request.cost_tokens <= MAX_TOKENS:
        wrong.append(FieldViolation("cost_tokens", f"must be 1 to {MAX_TOKENS}"))
    if len(request.map_token) > MAX_MAP_TOKEN_BYTES:
        wrong.append(FieldViolation("map_token", f"must be at most {MAX_MAP_TOKEN_BYTES} bytes"))
    if wrong:
        raise FieldInvalid(violations=wrong)


def _check_settle(request: admission_pb.SettleRequest) -> None:
    wrong = []
    if not 1 <= len(request.permit_id) <= MAX_ID_CHARS:
        wrong.append(FieldViolation("permit_id", f"must be 1 to {MAX_ID_CHARS} characters"))
    if not 0 <= request.charged_tokens <= MAX_TOKENS:
        wrong.append(FieldViolation("charged_tokens", f"must be 0 to {MAX_TOKENS}"))
    if wrong:
        raise FieldInvalid(violations=wrong)


def _check_lease(request: admission_pb.LeaseRequest) -> None:
    wrong = []
    if not 1 <= len(request.tenant_id) <= MAX_ID_CHARS:
        wrong.append(FieldViolation("tenant_id", f"must be 1 to {MAX_ID_CHARS} characters"))
    if not 0 <= request.wanted_tokens <= MAX_TOKENS:
        wrong.append(FieldViolation("wanted_tokens", f"must be 0 to {MAX_TOKENS}"))
    if not 0 <= request.returned_tokens <= MAX_TOKENS:
        wrong.append(FieldViolation("returned_tokens", f"must be 0 to {MAX_TOKENS}"))
    if wrong:
        raise FieldInvalid(violations=wrong)
