"""Waiting without a slot: for something that costs this server nothing, such as a state of the map that is on its way.

A call that held its slot meanwhile would keep others from capacity that nobody uses, and the time that it waits would
count as the time that its work takes: the adaptive limit would fall, and refuse those who need not wait at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from trunkline_mesh.errors import Overloaded
from trunkline_mesh.request import request_or_none

MAX_PARKED: Final = 512
"""Calls of one server that wait without a slot at most: half of those that gRPC lets in by default."""
MAX_PARKED_PER_TENANT: Final = 256
"""Of one tenant. Enough for all that a busy tenant asks in the seconds that a map may lag behind its token."""
RETRY_DELAY_S: Final = 1.0
"""Told to who finds no room."""


class ParkedCalls:
    """Counts those who wait so at one server. One event loop owns it."""

    def __init__(self, most: int = MAX_PARKED, most_per_tenant: int = MAX_PARKED_PER_TENANT) -> None:
        """Bound them, in all and of one tenant."""
        self._most: Final = most
        self._most_per_tenant: Final = most_per_tenant
        self._by_tenant: Final[dict[str, int]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def enter(self, tenant: str) -> None:
        """Count one more; raises Overloaded if that would be one too many."""
        of_tenant = self._by_tenant.get(tenant, 0)
        if self._count >= self._most or of_tenant >= self._most_per_tenant:
            raise Overloaded("too many calls wait for the map", retry_delay_s=RETRY_DELAY_S)
        self._count += 1
        self._by_tenant[tenant] = of_tenant + 1

    def leave(self, tenant: str) -> None:
        """Count one less."""
        self._count -= 1
        left = self._by_tenant[tenant] - 1
        if left:
            self._by_tenant[tenant] = left
        else:
            del self._by_tenant[tenant]


@asynccontextmanager
async def parked() -> AsyncIterator[None]:
    """Wait in the body without the current call's slot, and have it again after; an error of the body ends the call.

    Only the call's own task gives its slot up: elsewhere, and outside of a call, the body runs as it would anyway.
    Raises Overloaded if too many wait so, or if nothing is free in time afterwards, and else as `CapacityLimiter.slot`.
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
