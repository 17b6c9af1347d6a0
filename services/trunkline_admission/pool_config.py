"""The tier file's pools as the pool script reads them."""

from __future__ import annotations

from typing import Final

from trunkline_admission.pool_share import Piece
from trunkline_tiers import TierFile
from trunkline_tiers.model import DAY_S

LOWER_RANK_PART: Final = 0.5
"""Of the lendable part of a pool: as much may a tier of lower rank use; one of higher rank may use all of it."""


class PoolConfig:
    """Rates and bursts of the pools, and what each keeps from the others. Immutable.

    Lending as in API Priority and Fairness of Kubernetes (KEP-1040: `lendablePercent`, `borrowingLimitPercent`), with
    buckets for seats: of a full pool, `lendable_percent` may be drawn by others and the rest never; and a tier borrows
    at most `borrowing_limit_percent` of its own pool's rate and burst.
    """

    def __init__(self, tiers: TierFile) -> None:
        """Read the pools of a tier file."""
        self.names: Final = tiers.by_rank
        day = tiers.service_requests_per_day or sum(tier.pool.requests_per_day for tier in tiers.tiers.values())
        self._service: Final = _bucket(day / DAY_S, tiers.pool_burst_s)
        self._bursts: dict[str, float] = {}
        self._rows: list[tuple[str | float, ...]] = []
        for name in self.names:
            pool = tiers.tiers[name].pool
            rate, burst = _bucket(pool.requests_per_s, tiers.pool_burst_s)
            lendable, limit = pool.lendable_percent / 100, pool.borrowing_limit_percent / 100
            numbers = (
                rate,
                burst,
                burst * (1 - lendable),
                burst * (1 - lendable * LOWER_RANK_PART),
                rate * limit,
                burst * limit,
            )
            self._bursts[name] = burst
            self._rows.append((name, *numbers))

    def burst(self, tier: str) -> float:
        """Return the most that a tier's pool holds."""
        return self._bursts[tier]

    def arguments(
        self, mode: str, offset_us: int, tier: str, wanted: int, back: Piece, owed: int = 0
    ) -> list[str | int | float]:
        """Return the script's arguments for a draw of `wanted` requests that gives `back` an earlier share.

        `owed` was granted since then although the tier's own pool was dry.
        """
        service_rate, service_burst = self._service
        found: list[str | int | float] = [mode, offset_us, self.names.index(tier) + 1, wanted]
        found += (service_rate, service_burst, len(self.names))
        for name, row in zip(self.names, self._rows, strict=True):
            found += row
            found.append(back.own if name == tier else back.lent.get(name, 0))
        return [*found, owed] if owed else found


def _bucket(rate_per_s: float, burst_s: float) -> tuple[float, float]:
    return rate_per_s, max(1.0, rate_per_s * burst_s)
