"""A tenant's limits as its home region tells them: only operators and admins ask, so a call across regions is fine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeAlias

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline_admission.notes import PERIODS, SCOPES, UNITS
from trunkline_admission.quota import LimitState
from trunkline_map.source import MapSource
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import HOP_RESERVE_S
from trunkline_mesh.errors import BackendUnavailable
from trunkline_mesh.request import current_request

STATES_CAP_S: Final = 2.0
"""Longest that the home region is waited for."""

AskStates: TypeAlias = Callable[[str, str, str], Awaitable[Sequence[LimitState]]]
"""Asks a region for the states of a tenant and a key."""


def states_asker(channels: ChannelPool, source: MapSource) -> AskStates:
    """Return what asks the admission service of a region, with the credential of the request that is being served.

    It raises what GetLimits fails with, BackendUnavailable where the region has no admission service or cannot be
    reached, and BackendTimeout.
    """

    async def ask(region_id: str, tenant_id: str, key: str) -> Sequence[LimitState]:
        region = source.snapshot.region(region_id)
        if region is None or not region.admission_endpoints:
            raise BackendUnavailable
        stub = usage_grpc.UsageServiceStub(channels.get(",".join(region.admission_endpoints)))
        deadline = current_request().deadline.within(STATES_CAP_S, reserve_s=HOP_RESERVE_S)
        request = usage_pb.GetLimitsRequest(tenant_id=tenant_id, key=key)
        response = await call(stub.GetLimits, request, deadline=deadline)
        return [state for told in response.limits if (state := state_of(told)) is not None]

    return ask


def state_of(told: usage_pb.LimitState) -> LimitState | None:
    """Return a limit's state as plain values; None for one of a kind that is not known here."""
    scope, period, unit = SCOPES.get(told.scope), PERIODS.get(told.period), UNITS.get(told.unit)
    if scope is None or period is None or unit is None:
        return None
    return LimitState(
        scope,
        period,
        unit,
        told.limit,
        told.used,
        told.burst,
        told.shadow,
        told.overridden,
        float(told.reset_time.seconds) if told.HasField("reset_time") else None,
    )
