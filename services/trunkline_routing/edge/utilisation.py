"""How much of the region's servers each tier and those above it hold or want, and what this one had to refuse.

No tenant brings its tier down by itself: it counts for a part of a server at most, and refusals behind its own line do
not count.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from trunkline_mesh.limiter import CapacityLimiter
from trunkline_routing.edge.region_view import RegionView
from trunkline_tiers import TierFile


class Utilisation:
    """Looks at this router's own limiter, and at the pressure that the region's other servers tell.

    Other servers tell one figure for all tiers. A tier's part of it, with those above, is taken to be what it is here:
    their work comes through routers. So a flood of a low tier never counts as work of a higher one, and one tenant's
    flood counts there for no larger part than here.
    """

    def __init__(self, view: RegionView, region_id: str, tiers: TierFile) -> None:
        """Know no limiter yet."""
        self._view: Final = view
        self._region_id: Final = region_id
        self._tier_of: Final = {tier.rank: name for name, tier in tiers.tiers.items()}
        self._limiter: CapacityLimiter | None = None
        self._refused: dict[int, int] = {}

    def on_limiter(self, limiter: CapacityLimiter) -> None:
        """Take this server's own limiter, once it has one."""
        self._limiter = limiter

    def by_tier(self) -> Iterator[tuple[str, float]]:
        """Yield each tier with the largest part of any server's slots that it and those above it hold or want."""
        for rank, tier in self._tier_of.items():
            yield tier, self._of_rank(rank)

    def newly_refused(self) -> Iterator[tuple[str, int]]:
        """Yield tiers with their calls that this server refused for others' work since this was last asked.

        Calls refused behind their own tenant's line are not among them: one tenant's flood is no fault of the region.
        Nor are calls that were ended for others: they ran on borrowed slots, and nobody was promised those.
        """
        if self._limiter is None:
            return
        for lane in self._limiter.lanes:
            new = lane.shed - self._refused.get(lane.rank, 0)
            if new > 0 and lane.rank in self._tier_of:
                self._refused[lane.rank] = lane.shed
                yield self._tier_of[lane.rank], new

    def _of_rank(self, rank: int) -> float:
        if self._limiter is None:
            return 0.0
        own = self._limiter.utilisation_of(rank)
        everybody = self._limiter.pressure()
        elsewhere = self._view.pressure(self._region_id)
        if not elsewhere or everybody <= 0:
            return own
        return max(own, elsewhere * min(1.0, own / everybody))
