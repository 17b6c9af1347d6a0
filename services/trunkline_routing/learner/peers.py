"""Asking the learner that is in charge of a tenant, where a caller came to another one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from trunkline.routing.v1 import learning_service_pb2_grpc as learning_grpc
from trunkline_map.entries import RegionEntry
from trunkline_mesh.calls import call, forwarded_metadata
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable
from trunkline_mesh.request import current_request
from trunkline_routing.edge.targets import Stubs

FORWARDED_KEY: Final = "trunkline-learner-forwarded"
"""Metadata of a call that was handed on: it is answered where it arrives, however the maps differ."""
RESERVE_S: Final = 0.005


def was_forwarded(metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
    """Return True if another learner has handed this call on."""
    return any(key == FORWARDED_KEY for key, _ in metadata or ())


class Peers:
    """Hands calls on, with the caller's own credential."""

    def __init__(self, channels: ChannelPool) -> None:
        """Call over a pool of channels."""
        self._stubs = Stubs(channels, learning_grpc.LearningServiceStub)

    async def ask(self, region: RegionEntry, method: str, request: Any) -> Any | None:
        """Return the other learner's answer, None if it cannot be reached. Raises the domain errors that it answers."""
        deadline = current_request().deadline
        stub = self._stubs.of(region.learning_endpoints)
        metadata = (*forwarded_metadata(), (FORWARDED_KEY, "1"))
        share = deadline.within(deadline.remaining_s(), reserve_s=RESERVE_S)
        try:
            return await call(getattr(stub, method), request, deadline=share, metadata=metadata)
        except (BackendUnavailable, BackendTimeout):
            return None
