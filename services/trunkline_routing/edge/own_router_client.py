"""Adapter: a tenant's own routing service over `trunkline.routing.v1.OwnRouterService`.

It belongs to somebody else: nothing of the caller's credential goes there, and nothing that it answers is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import grpc

from trunkline.routing.v1 import own_router_service_pb2 as own_pb
from trunkline.routing.v1 import own_router_service_pb2_grpc as own_grpc
from trunkline_mesh.calls import call
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, DeadlineExceeded, DomainError
from trunkline_policy.results import Candidate
from trunkline_routing.edge.chooser_files import OwnRouterPlace
from trunkline_routing.edge.choosers import believed, within_wall
from trunkline_routing.edge.model import Gate

MAX_OFFERED: Final = 1_000
"""Collections that are offered; the contract's bound."""
MAX_ANSWER_BYTES: Final = 256 * 1024
"""Largest answer: a thousand choices with short reasons."""
MAX_CHANNELS: Final = 64
"""Connections that are kept; the one that was opened first makes room."""
CLOSE_GRACE_S: Final = 5.0

_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # Not as often as between our own services: others' servers hang up on frequent pings.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)


class OwnRouterClient:
    """Asks tenants' own routing services; implements `choosers.Chooser`."""

    def __init__(self, places: Mapping[str, OwnRouterPlace]) -> None:
        """Know where each tenant's listens. Raises OSError if certificates cannot be read."""
        self._places = places
        self._credentials = {
            tenant_id: grpc.ssl_channel_credentials(place.ca_path.read_bytes() if place.ca_path else None)
            for tenant_id, place in places.items()
            if place.tls
        }
        self._open: dict[str, tuple[grpc.aio.Channel, own_grpc.OwnRouterServiceStub]] = {}

    def serves(self, gate: Gate) -> bool:
        """Return True if the tenant has one, and its queries may go there."""
        place = self._places.get(gate.tenant.tenant_id)
        return place is not None and within_wall(gate, place.jurisdiction)

    async def choose(
        self, gate: Gate, text: str, offered: Sequence[tuple[str, str]], *, limit: int, deadline: Deadline
    ) -> Sequence[Candidate]:
        """Return what the tenant's service names, as far as it can be believed; descriptions stay here."""
        tenant_id = gate.tenant.tenant_id
        names = [name for name, _ in offered[:MAX_OFFERED]]
        request = own_pb.ChooseCollectionsRequest(
            tenant_id=tenant_id, text=text, collections=names, max_collections=limit
        )
        stub = await self._stub(tenant_id)
        try:
            response = await call(stub.ChooseCollections, request, deadline=deadline, metadata=())
        except (BackendUnavailable, BackendTimeout, DeadlineExceeded):
            raise
        except DomainError as exc:  # whatever it says of the caller is no business of the caller's
            raise BackendUnavailable("the tenant's own routing service refused") from exc
        told = ((choice.collection, choice.confidence, choice.reason) for choice in response.choices)
        return believed(told, text, frozenset(names), limit=limit)

    async def close(self) -> None:
        """Close the connections; calls under way may end."""
        opened, self._open = self._open, {}
        for channel, _ in opened.values():
            await channel.close(CLOSE_GRACE_S)

    async def _stub(self, tenant_id: str) -> own_grpc.OwnRouterServiceStub:
        known = self._open.get(tenant_id)
        if known is not None:
            return known[1]
        pushed_out = self._open.pop(next(iter(self._open))) if len(self._open) >= MAX_CHANNELS else None
        target = self._places[tenant_id].target
        credentials = self._credentials.get(tenant_id)
        if credentials is None:
            channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        else:
            channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
        stub = own_grpc.OwnRouterServiceStub(channel)
        self._open[tenant_id] = (channel, stub)
        if pushed_out is not None:
            await pushed_out[0].close(CLOSE_GRACE_S)
        return stub
