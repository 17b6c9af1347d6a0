"""Adapter: the region's own router, asked as callers ask it, so that the indicator measures what they get."""

from __future__ import annotations

from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_map.source import MapSource
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapNotReady
from trunkline_routing.edge.targets import Stubs
from trunkline_routing.learner.credentials import ActingCredentials
from trunkline_routing.learner.ports import Routed

CALL_S: Final = 5.0

_UNDECIDED: Final = frozenset(
    (trail_pb.STRATEGY_UNSPECIFIED, trail_pb.STRATEGY_FALLBACK, trail_pb.STRATEGY_NONE, trail_pb.STRATEGY_ALL)
)


class RouterClient:
    """Implements `ports.Router`."""

    def __init__(
        self, channels: ChannelPool, source: MapSource, credentials: ActingCredentials, *, region_id: str
    ) -> None:
        """Ask the routers of `region_id`, wherever the map says that they listen."""
        self._stubs = Stubs(channels, routing_grpc.RoutingServiceStub)
        self._source = source
        self._credentials = credentials
        self._region_id = region_id

    async def route(self, tenant_id: str, text: str, deadline: Deadline) -> Routed:
        """As `ports.Router.route`."""
        region = self._source.snapshot.region(self._region_id)
        if region is None:
            raise MapNotReady("this learner's region is not in the map", retry_delay_s=1.0)
        response = await call(
            self._stubs.of(region.routing_endpoints).Route,
            routing_pb.RouteRequest(tenant_id=tenant_id, text=text),
            deadline=deadline.within(CALL_S),
            metadata=self._credentials.of(tenant_id),
        )
        return Routed(
            decided=response.trail.decision.strategy not in _UNDECIDED,
            collections=tuple(each.collection for each in response.trail.collections),
            template=response.generation.template.name,
            model_class=response.generation.model_class.name,
        )
