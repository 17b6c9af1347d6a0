"""The tier file at a fraction of its size, such that what is promised keeps its ratio to what is offered.

The default file is written for a region with 1,000 tenants and sells 14,000 requests a day for each of them on the
mean. The simulated world has 10,000 tenants in three regions and offers 26,000, so every number is taken three times
(`LIMITS_OVER_DEFAULT`) and then by the scale. Rates go with the days. What cannot be cut that far has a floor: a day
holds at least `MIN_DAY` requests and a burst at least `MIN_BURST`, and then lasts longer. Pools follow their tenants'
days and the number of tenants that a region has. Times, weights, queues and objectives stay what they are.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from trunkline_tiers import Tier, TierFile

LIMITS_OVER_DEFAULT: Final = 3.0
MIN_DAY: Final = 10
"""Requests a day that every tenant may make at any scale: a limit holds whole numbers."""
MIN_BURST: Final = 4.0
"""Requests of a burst at any scale."""
POOL_BURST_S: Final = 14_400.0
"""What pools hold, in seconds of their refill: less than by default, so that one night can empty one."""
TENANTS_OF_DEFAULT: Final = 1000
"""Tenants of a region that the default file's pools are written for."""
_MAX_BURST_S: Final = 3600.0


def scaled_tiers(tiers: TierFile, scale: float, tenants_per_region: float) -> TierFile:
    """Return `tiers` at `scale` (0 to 1 of the full rate) for regions of so many tenants."""
    factor = scale * LIMITS_OVER_DEFAULT
    scaled = {name: _scaled(tier, factor, tenants_per_region) for name, tier in tiers.tiers.items()}
    return tiers.model_copy(update={"tiers": MappingProxyType(scaled), "pool_burst_s": POOL_BURST_S})


def _scaled(tier: Tier, factor: float, tenants_per_region: float) -> Tier:
    share, pool = tier.tenant, tier.pool
    day = max(MIN_DAY, round(share.requests_per_day * factor))
    per_minute = share.requests_per_minute * factor
    spare_per_s = (share.burst_factor - 1) * per_minute / 60
    tenant = share.model_copy(
        update={
            "requests_per_day": day,
            "requests_per_minute": per_minute,
            "burst_s": min(_MAX_BURST_S, max(share.burst_s, MIN_BURST / spare_per_s)),
        }
    )
    in_pool = pool.requests_per_day * (day / share.requests_per_day) * (tenants_per_region / TENANTS_OF_DEFAULT)
    pooled = pool.model_copy(update={"requests_per_day": max(1, round(in_pool))})
    return tier.model_copy(update={"tenant": tenant, "pool": pooled})
