"""How much of the region's servers each tier and those above it hold or want."""

from __future__ import annotations

from typing import Final, Protocol

from trunkline_routing.edge.region_view import RegionView
from trunkline_tiers import TierFile


class Limiter(Protocol):
    """What is asked of this server's limiter; trunkline_mesh.limiter.CapacityLimiter has it."""

    def utilisation_of(self, rank: int) -> float:
        """Return the part of the slots that calls of `rank` and above hold or want."""


class Utilisation:
    """Looks at this router's own limiter, and at the pressure that the region's other servers tell.

    Other servers tell one figure for all tiers. A tier's part of it, with those above, is taken to be what it is here:
    their work comes through routers. So a flood of a low tier never counts as work of a higher one.
    """

    def __init__(self, view: RegionView, region_id: str, tiers: TierFile) -> None:
        """Know no limiter yet."""
        self._view: Final = view
        self._region_id: Final = region_id
        self._lowest_rank: Final = tiers.tiers[tiers.lowest].rank
        self._limiter: Limiter | None = None

    def on_limiter(self, limiter: Limiter) -> None:
        """Take this server's own limiter, once it has one."""
        self._limiter = limiter

    def of_rank(self, rank: int) -> float:
        """Return the largest part of any server's slots that calls of `rank` and above hold or want; 0 and more."""
        if self._limiter is None:
            return 0.0
        own = self._limiter.utilisation_of(rank)
        everybody = self._limiter.utilisation_of(self._lowest_rank)
        elsewhere = self._view.pressure(self._region_id)
        if not elsewhere or everybody <= 0:
            return own
        return max(own, elsewhere * min(1.0, own / everybody))
