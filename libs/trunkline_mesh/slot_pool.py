"""The slots of a server, counted in units: how many there are, how many are held, and for whom some are kept."""

from __future__ import annotations

from typing import Final

from trunkline_mesh.rank_lane import RankLane


class SlotPool:
    """One event loop owns it."""

    def __init__(self, reserved: int) -> None:
        """Keep `reserved` units for work inside a promise (`RankLane.is_promised`)."""
        self.capacity = 0
        """Units that may be held at once."""
        self.in_use = 0
        self._reserved: Final = reserved

    @property
    def free(self) -> int:
        """Units that nobody holds; negative for a while after the capacity has shrunk."""
        return self.capacity - self.in_use

    def fits(self, lane: RankLane, tenant: str, cost: int) -> bool:
        """Return True if there is room. A call that is larger than a shrunken limit has it while nothing else runs."""
        free = self.capacity - self.in_use - cost
        return free >= self._reserved or (free >= 0 and lane.is_promised(tenant, cost)) or not self.in_use

    def take(self, lane: RankLane, tenant: str, cost: int) -> None:
        """Hold `cost` units, more than 0, for a tenant's call."""
        self.in_use += cost
        lane.take(tenant, cost)

    def give_back(self, lane: RankLane, tenant: str, cost: int) -> None:
        """Hold them no more."""
        self.in_use -= cost
        lane.give_back(tenant, cost)
