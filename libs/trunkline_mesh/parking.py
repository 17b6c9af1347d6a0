"""Waiting without a slot: for something that costs this server nothing, such as a state of the map that is on its way.

A call that held its slot meanwhile would keep others from capacity that nobody uses, and the time that it waits would
count as the time that its work takes: the adaptive limit would fall, and refuse those who need not wait at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_mesh.errors import InFlightLimit, Overloaded
from trunkline_mesh.rank_lane import RankLane
from trunkline_mesh.request import request_or_none

MAX_PARKED: Final = 512
"""Calls of one server that wait without a slot at most: half of those that gRPC lets in by default."""
LEAST_PART: Final = 0.125
"""Of these places a rank has the part that it is promised of the slots, and at least this one. Nobody else's: a call
holds its place as long as its deadline allows, and anybody can write a token of the far future."""
RETRY_DELAY_S: Final = 1.0
"""Told to who finds no room."""


class ParkedCalls:
    """Counts those who wait so at one server. One event loop owns it."""

    def __init__(self, most: int = MAX_PARKED) -> None:
        """Have `most` places for the ranks together; what `LEAST_PART` adds comes on top."""
        self._most: Final = most
        self._by_rank: Final[dict[int, int]] = {}
        self._by_tenant: Final[dict[str, int]] = {}

    def __len__(self) -> int:
        return sum(self._by_rank.values())

    def enter(self, lane: RankLane, tenant: str) -> None:
        """Count one more.

        Raises InFlightLimit if the tenant has as many as its tier may have under way in one server, Overloaded if its
        rank's places are taken.
        """
        of_rank, of_tenant = self._by_rank.get(lane.rank, 0), self._by_tenant.get(tenant, 0)
        if of_tenant >= lane.in_flight:
            limit = {"limit": str(lane.in_flight), "scope": "instance"}
            raise InFlightLimit("too many requests wait for the map", retry_delay_s=RETRY_DELAY_S, metadata=limit)
        if of_rank >= max(lane.part, LEAST_PART) * self._most:
            raise Overloaded("too many requests wait for the map", retry_delay_s=RETRY_DELAY_S)
        self._by_rank[lane.rank] = of_rank + 1
        self._by_tenant[tenant] = of_tenant + 1

    def leave(self, lane: RankLane, tenant: str) -> None:
        """Count one less."""
        self._by_rank[lane.rank] -= 1
        left = self._by_tenant[tenant] - 1
        if left:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]


@asynccontextmanager
async def parked() -> AsyncIterator[None]:
    """Wait in the body without the current call's slot, and have it again after; an error of the body ends the call.

    Only the call's own task gives its slot up: elsewhere, and outside of a call, the body runs as it would anyway.
    Raises InFlightLimit or Overloaded if too many wait so, and as `CapacityLimiter.slot` if nothing is free afterwards.
    """
    scope = request_or_none()
    slot = None if scope is None else scope.slot
    if scope is None or slot is None or not slot.is_of_this_task():
        yield
        return
    slot.park()
    yield
    waited_s = await slot.resume()
    scope.queue_wait_s += waited_s
