"""Which rank a tenant has: its tier by the map, and the tier's rank by the tier file."""

from __future__ import annotations

from typing import Final

from trunkline_map.source import MapSource
from trunkline_tiers import TierFile


class RankBook:
    """Two look-ups in plain dicts for each question; the map's current state answers."""

    def __init__(self, source: MapSource, tiers: TierFile) -> None:
        """Read the map from `source`; tiers do not change while a process lives."""
        self._source: Final = source
        self._lowest: Final = tiers.lowest
        self._ranks: Final = {name: tier.rank for name, tier in tiers.tiers.items()}

    def tier_of(self, tenant_id: str) -> str:
        """Return the tenant's tier; the lowest for a tenant or tier that is unknown, and before the map is loaded."""
        if not self._source.ready():
            return self._lowest
        tenant = self._source.snapshot.tenant(tenant_id)
        return tenant.tier if tenant is not None and tenant.tier in self._ranks else self._lowest

    def rank_of(self, tenant_id: str) -> int:
        """Return the rank of the tenant's tier; higher is more."""
        return self._ranks[self.tier_of(tenant_id)]
