"""Tiers as a limiter sees them: ranks with their shares of the slots and their queues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from trunkline_tiers.model import TierFile

Use = Literal["queue", "gpu"]
"""Whose weights count: `gpu` where models run."""


@dataclass(frozen=True, slots=True)
class RankShare:
    """What one rank gets of a server."""

    rank: int
    weight: float
    """Above 0, relative to the other ranks'."""
    queue_length: int
    """Calls of this rank that may wait, at least 1."""
    in_flight: int = 64
    """Calls of one tenant that may be under way in one server; at least 1."""


class RankTable:
    """The ranks of a tier file, lowest first. Immutable."""

    def __init__(self, shares: Iterable[RankShare], *, preempt_after_s: float = 0.05) -> None:
        """Raises ValueError without a rank, or with one twice."""
        self.shares: Final = tuple(sorted(shares, key=lambda share: share.rank))
        self.preempt_after_s: Final = preempt_after_s
        self._by_rank: Final[Mapping[int, RankShare]] = {share.rank: share for share in self.shares}
        if not self.shares or len(self._by_rank) != len(self.shares):
            raise ValueError("a table needs ranks, each once")
        self._total_weight: Final = sum(share.weight for share in self.shares)

    def nearest(self, rank: int) -> RankShare:
        """Return the share of `rank`, else of the next lower one, else the lowest: nobody gains by a wrong rank."""
        share = self._by_rank.get(rank)
        if share is not None:
            return share
        lower = [each for each in self.shares if each.rank < rank]
        return lower[-1] if lower else self.shares[0]

    def promised_part(self, rank: int) -> float:
        """Return the part of the slots that is promised to a rank, 0 to 1; all ranks' together are 1."""
        return self.nearest(rank).weight / self._total_weight


def rank_table(tiers: TierFile, use: Use = "queue") -> RankTable:
    """Return the ranks of `tiers` with the weights of their use."""
    return RankTable(
        (
            RankShare(
                tier.rank,
                tier.capacity.gpu_weight if use == "gpu" else tier.capacity.weight,
                tier.capacity.queue_length,
                tier.capacity.in_flight_per_instance,
            )
            for tier in tiers.tiers.values()
        ),
        preempt_after_s=tiers.preempt_after_ms / 1000,
    )
