"""trunkline.admission.v1.AdmissionService: messages to plain values and back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol, TypeAlias

import grpc
from google.protobuf.duration_pb2 import Duration

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.lease_metrics import LEASED_TOKENS, RESERVED_TOKENS, admitted, decision
from trunkline_admission.leases import Leases
from trunkline_admission.messages import (
    admit_charge,
    admit_response,
    ask_of,
    check_settlement,
    check_settlements,
    lease_response,
)
from trunkline_admission.permits import AdmitWish, Permits
from trunkline_admission.pipeline import in_order
from trunkline_admission.policy import ADMIT_CAP_S
from trunkline_admission.region_leases import REGION_KEY
from trunkline_admission.standing import Standings
from trunkline_lease.spent import TokenSource
from trunkline_mesh.deadline import HOP_RESERVE_S
from trunkline_mesh.errors import DomainError
from trunkline_mesh.request import current_principal, current_request, tenant_of

MAP_RESERVE_PART: Final = 0.1
"""Of the deadline: kept back from waiting for the map."""
LEASE_WINDOW: Final = 32
"""Wishes of one stream that are worked on at a time, so that one slow answer costs the others its time only once."""

_Context = grpc.aio.ServicerContext[Any, Any]
LevelOf: TypeAlias = Callable[[str], quota_pb.ServiceLevel.ValueType]
"""Tells the level of a tier, from memory."""


class Reports(Protocol):
    """Takes what routers have seen; `ReportDesk` is one."""

    async def take(self, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        """Count one report and tell what holds. Raises FieldInvalid."""


class AdmissionServicer(admission_grpc.AdmissionServiceServicer):
    """The methods of the contract."""

    def __init__(
        self,
        permits: Permits,
        routers: Leases,
        regions: Leases,
        reports: Reports,
        level_of: LevelOf,
        standings: Standings,
        *,
        replica: str,
    ) -> None:
        """Serve these use cases as `replica`; leases of routers and of other regions live differently long."""
        self._permits = permits
        self._routers = routers
        self._regions = regions
        self._reports = reports
        self._level_of = level_of
        self._standings = standings
        self._replica = replica

    async def Admit(self, request: admission_pb.AdmitRequest, context: _Context) -> admission_pb.AdmitResponse:
        """Reserve requests and tokens, out of what this replica holds."""
        charge, tenant_id = admit_charge(request), tenant_of(request.tenant_id)
        scope, principal = current_request(), current_principal()
        wish = AdmitWish(tenant_id, scope.request_id, charge, principal.subject, request.map_token)
        permit = self._permits.admit_now(wish)
        if permit is None:
            # Waiting for the map or a refill ends early enough for its refusal to reach the caller.
            reserve_s = max(HOP_RESERVE_S, scope.deadline.remaining_s() * MAP_RESERVE_PART)
            permit = await self._permits.admit(wish, scope.deadline.within(ADMIT_CAP_S, reserve_s=reserve_s))
        admitted(permit.tier, local=permit.spent.source is TokenSource.LOCAL).inc()
        RESERVED_TOKENS.inc(charge.tokens)
        return admit_response(permit, self._replica, self._level_of(permit.tier))

    async def Settle(self, request: admission_pb.SettleRequest, context: _Context) -> admission_pb.SettleResponse:
        """End a permit with its real cost."""
        check_settlement(request)
        return admission_pb.SettleResponse(refunded_tokens=self._settle(tenant_of(""), request))

    async def SettleBatch(
        self, request: admission_pb.SettleBatchRequest, context: _Context
    ) -> admission_pb.SettleBatchResponse:
        """End many permits, each with an outcome of its own."""
        check_settlements(request)
        tenant_id, response = tenant_of(""), admission_pb.SettleBatchResponse()
        for one in request.settlements:
            outcome = response.outcomes.add(permit_id=one.permit_id)
            try:
                outcome.refunded_tokens = self._settle(tenant_id, one)
            except DomainError as error:
                outcome.error = error.reason
        return response

    async def GetStanding(
        self, request: admission_pb.GetStandingRequest, context: _Context
    ) -> admission_pb.GetStandingResponse:
        """Tell what the caller's tenant is to this region."""
        standing = self._standings.of(tenant_of(""))
        return admission_pb.GetStandingResponse(tier=standing.tier, rank=standing.rank)

    async def Report(self, request: admission_pb.ReportRequest, context: _Context) -> admission_pb.ReportResponse:
        """Take a router's account."""
        return await self._reports.take(request)

    async def Lease(
        self, request_iterator: AsyncIterator[admission_pb.LeaseRequest], context: _Context
    ) -> AsyncGenerator[admission_pb.LeaseResponse, None]:
        """Exchange quota with a router, or with another region's admission service, wish by wish."""
        region = _region_that_asks(context)
        leases = self._regions if region else self._routers
        holder = f"{current_principal().subject} {region}"
        valid = Duration()
        valid.FromMilliseconds(round(leases.valid_s * 1000))

        async def answer(request: admission_pb.LeaseRequest) -> admission_pb.LeaseResponse:
            ask = ask_of(request)
            leased = await leases.exchange(holder, ask)
            if ask.wanted:
                granted = leased.grant.granted
                outcome = "granted" if granted else "refused"
                decision("lease", outcome, leased.grant.source.name, leased.tier).inc()
                LEASED_TOKENS.inc(granted.tokens)
            return lease_response(ask, leased, valid)

        # Sent before the first wish, so that a router knows that somebody is there.
        await context.send_initial_metadata(())
        async with aclosing(in_order(request_iterator, answer, window=LEASE_WINDOW, lane=_lease_of_wish)) as responses:
            async for response in responses:
                yield response

    def _settle(self, tenant_id: str, request: admission_pb.SettleRequest) -> int:
        return self._permits.settle(tenant_id, request.permit_id, request.charged_tokens, cancelled=request.cancelled)


def _region_that_asks(context: _Context) -> str:
    """Return the region whose admission service opened the stream; empty for a router."""
    for key, value in context.invocation_metadata() or ():
        if key == REGION_KEY and isinstance(value, str):
            return value[:63]
    return ""


def _lease_of_wish(request: admission_pb.LeaseRequest) -> str:
    return f"{request.tenant_id}\0{request.key}"
