"""What of its tier's pool is each tenant's own: a pool's day, divided evenly among the tier's tenants.

As much of a day's requests is granted even while the pool is dry, so that the part of the tenants which asked first,
each within its own limits, cannot take from the others what they are promised. What is granted so the pool owes.
"""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Final

from trunkline_map.home_region import keeps_quota
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_tiers import TierFile

RECOUNT_S: Final = 10.0
"""How often tenants are counted at most, and only where the map has changed: a look at each takes some 0.3 us."""
CHANCE: Final = 3.0
"""Of a thousand regions one has more tenants."""
USED_UP_S: Final = 60.0
"""So long a tenant that has used up its part is not asked about again: a flood costs the store nothing meanwhile."""
MAX_USED_UP: Final = 20_000
"""Tenants that are remembered so; the one that came first makes room, and costs the store a look."""


class TierSizes:
    """How many tenants of each tier have their quota kept in a region; a tier that the tier file does not have is the
    lowest.

    Those that several regions may keep are spread over them by a hash, evenly but for chance. Their number here is told
    with CHANCE standard deviations on top, so that hardly a region has more: parts are rather too small than too large.
    """

    def __init__(self, source: MapSource, tiers: TierFile, region_id: str, clock: Clock = MONOTONIC) -> None:
        """Count in `source`, and only when asked."""
        self._source: Final = source
        self._tiers: Final = tiers
        self._region_id: Final = region_id
        self._clock: Final = clock
        self._counts: dict[str, int] = {}
        self._counted: MapSnapshot | None = None
        self._looked_at_s = float("-inf")

    def of(self, tier: str) -> int:
        """Return the tenants of a tier, as of RECOUNT_S ago at most; 0 before the first map."""
        now_s = self._clock()
        if now_s - self._looked_at_s >= RECOUNT_S and self._source.ready():
            self._looked_at_s, snapshot = now_s, self._source.snapshot
            if snapshot is not self._counted:
                self._counted, self._counts = snapshot, self._count(snapshot)
        return self._counts.get(tier, 0)

    def _count(self, snapshot: MapSnapshot) -> dict[str, int]:
        here = snapshot.region(self._region_id)
        keeping = [each for each in snapshot.regions() if keeps_quota(each)]
        groups = Counter((entry.tier, entry.jurisdictions) for entry in snapshot.tenants())
        mean, variance = dict.fromkeys(self._tiers.tiers, 0.0), dict.fromkeys(self._tiers.tiers, 0.0)
        for (tier, jurisdictions), count in groups.items():
            among = sum(each.jurisdiction in jurisdictions for each in keeping)
            name = tier if tier in mean else self._tiers.lowest
            if among == 0:  # nobody else keeps them
                mean[name] += count
            elif here is not None and here in keeping and here.jurisdiction in jurisdictions:
                mean[name] += count / among
                variance[name] += count * (among - 1) / among**2
        return {tier: math.ceil(mean[tier] + CHANCE * math.sqrt(variance[tier])) for tier in mean}


class EvenParts:
    """Each tenant's part of a day, and who has used its own up lately."""

    def __init__(self, tenants_of: Callable[[str], int], tiers: TierFile, clock: Clock = MONOTONIC) -> None:
        """`tenants_of` tells how many tenants a tier has; 0 for not known: then nobody has a part."""
        self._tenants_of: Final = tenants_of
        self._pools: Final = {name: tier.pool.requests_per_day for name, tier in tiers.tiers.items()}
        self._clock: Final = clock
        self._used_up: OrderedDict[str, float] = OrderedDict()

    def of(self, tenant_id: str, tier: str) -> int:
        """Return the requests of a day that are the tenant's even if the pool is dry; 0 if it has used them up."""
        until_s = self._used_up.get(tenant_id)
        if until_s is not None:
            if self._clock() < until_s:
                return 0
            del self._used_up[tenant_id]
        tenants = self._tenants_of(tier)
        return self._pools[tier] // tenants if tenants > 0 else 0

    def used_up(self, tenant_id: str) -> None:
        """Learn that a tenant has had its part of the day."""
        if len(self._used_up) >= MAX_USED_UP:
            self._used_up.popitem(last=False)
        self._used_up[tenant_id] = self._clock() + USED_UP_S
