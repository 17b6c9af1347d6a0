"""Adapter: a tenant's standing, asked of the region's admission service with the tenant's own credential."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.standing import StandingBook

ASK_S: Final = 0.1
"""Longest that an answer is waited for."""


class AdmissionStanding:
    """Asks admission; a `standing.Ask`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Ask over `channel`, which stays the caller's."""
        self._stub = admission_grpc.AdmissionServiceStub(channel)

    async def __call__(self, tenant: str) -> int:
        """Return the rank of `tenant`, whose credential the current request bears.

        Raises TenantSuspended, TenantUnknown, ResidencyRouterOutside, and other domain errors where no answer came.
        """
        request = admission_pb.GetStandingRequest()
        return (await call(self._stub.GetStanding, request, deadline=Deadline.after(ASK_S))).rank


@asynccontextmanager
async def open_standing(endpoints: str, channels: ChannelPool) -> AsyncIterator[StandingBook | None]:
    """Yield what knows tenants' standing from admission at `endpoints`, `host:port` separated by commas.

    None where there are none. Waits for no connection.
    """
    target = ",".join(endpoint.strip() for endpoint in endpoints.split(",") if endpoint.strip())
    if not target:
        yield None
        return
    book = StandingBook(AdmissionStanding(channels.get(target)))
    try:
        yield book
    finally:
        await book.aclose()
