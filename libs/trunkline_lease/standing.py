"""Adapter: a tenant's standing, asked of the region's admission service with the tenant's own credential.

`Admit` is what tells it: the rank of a tenant that is served, or why it is refused. It reserves one token, which goes
back at once. The same request id is charged once as long as its permit lives, so a replica of admission reserves for
one tenant at most once in `WINDOW_S`, however often it is asked.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import grpc

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_mesh.calls import Metadata, call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, QuotaExhausted
from trunkline_mesh.request import AUTHORIZATION_KEY, REQUEST_ID_KEY, current_principal
from trunkline_mesh.standing import StandingBook

ASK_S: Final = 0.1
"""Longest that an answer is waited for."""
WINDOW_S: Final = 30.0
"""How long asking again is asking for the same permit. A new rank may take so long to be told."""
MAX_SETTLED: Final = 10_000
"""Permits that are known to have been given back; older ones are given back again, which changes nothing."""


class AdmissionStanding:
    """Asks admission; a `standing.Ask`."""

    def __init__(self, channel: grpc.aio.Channel, clock: Clock = MONOTONIC) -> None:
        """Ask over `channel`, which stays the caller's."""
        self._stub = admission_grpc.AdmissionServiceStub(channel)
        self._clock = clock
        self._mark = secrets.token_hex(6)
        self._settled: OrderedDict[str, None] = OrderedDict()

    async def __call__(self, tenant: str) -> int | None:
        """Return the rank of the current request's tenant; None where its quota is spent, which does not tell it.

        Raises TenantSuspended, TenantUnknown, ResidencyRouterOutside, and other domain errors where no answer came.
        """
        metadata = self._metadata()
        request = admission_pb.AdmitRequest(tenant_id=tenant, cost_tokens=1)
        try:
            answer = await call(self._stub.Admit, request, deadline=Deadline.after(ASK_S), metadata=metadata)
        except QuotaExhausted:
            return None
        await self._give_back(answer.permit.permit_id, metadata)
        return answer.permit.rank

    async def _give_back(self, permit_id: str, metadata: Metadata) -> None:
        """Cancel a permit. Where that fails, as at another replica than the one that gave it, it ends by itself."""
        if permit_id in self._settled:
            return
        self._settled[permit_id] = None
        if len(self._settled) > MAX_SETTLED:
            self._settled.popitem(last=False)
        request = admission_pb.SettleRequest(permit_id=permit_id, cancelled=True)
        try:
            await call(self._stub.Settle, request, deadline=Deadline.after(ASK_S), metadata=metadata)
        except DomainError:
            return

    def _metadata(self) -> Metadata:
        window = int(self._clock() // WINDOW_S)
        credential = f"Bearer {current_principal().token}"
        return ((AUTHORIZATION_KEY, credential), (REQUEST_ID_KEY, f"standing.{self._mark}.{window}"))


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
