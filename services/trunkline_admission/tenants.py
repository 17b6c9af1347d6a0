"""What the map and the tier file say a tenant may spend."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from trunkline_admission.quota import TenantQuota
from trunkline_admission.tenant_limits import next_end_s, quota_of
from trunkline_map.entries import TenantEntry
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.source import MapSource
from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import TenantSuspended, TenantUnknown
from trunkline_mesh.logs import get_logger, tenant_hash
from trunkline_tiers import TierFile

MAP_WAIT_PART: Final = 0.9
"""Of the time left at most this much is spent on waiting for the map: a refusal at the very end would reach nobody,
because gRPC tells us up to 3 % more time than the caller has."""
MAX_KEPT: Final = 20_000
"""Quotas that are kept ready; the one that was made first makes room. Unknown tenants take none."""
MAX_TOLD_TIERS: Final = 64
"""Unknown tiers that are told of in the log, once each."""

_LOG: Final = get_logger("admission.tenants")


@dataclass(frozen=True, slots=True)
class _Kept:
    entry: TenantEntry
    quota: TenantQuota
    from_s: float
    until_s: float


class TenantQuotas:
    """Quotas of tenants: of their own, else their tier's. Made anew when the entry changes or an override ends.

    A tier that the tier file does not have counts as the tier of the lowest rank: a new name in the map must not shut
    its tenants out before every replica has the new file.
    """

    def __init__(self, source: MapSource, tiers: TierFile, wall_clock: Clock = time.time) -> None:
        """Read from `source`. `wall_clock` gives Unix time, for the ends of overrides."""
        self._source = source
        self._tiers = tiers
        self._soft_part = tiers.soft_limit_percent / 100
        self._wall_clock = wall_clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._told: set[str] = set()

    async def at(self, tenant_id: str, map_token: bytes, deadline: Deadline) -> TenantQuota:
        """Return the tenant's quota as of the map token or later.

        Raises TenantUnknown, TenantSuspended, MapNotReady, MapTokenInvalid, and StaleMap shortly before the deadline.
        """
        limit = deadline.within(MAP_WAIT_PART * deadline.remaining_s())
        return self._admitted(await self._source.at_least(map_token, limit), tenant_id)

    def now(self, tenant_id: str) -> TenantQuota:
        """Return the tenant's quota by the map at hand. Raises TenantUnknown, TenantSuspended, MapNotReady."""
        return self._admitted(self._source.snapshot, tenant_id)

    def told(self, tenant_id: str) -> tuple[TenantEntry, TenantQuota]:
        """Return the entry and quota of a tenant, also of a suspended one. Raises TenantUnknown, MapNotReady."""
        entry = self._entry(self._source.snapshot, tenant_id)
        return entry, self._quota(entry)

    def _admitted(self, snapshot: MapSnapshot, tenant_id: str) -> TenantQuota:
        entry = self._entry(snapshot, tenant_id)
        if entry.suspended:
            raise TenantSuspended
        return self._quota(entry)

    @staticmethod
    def _entry(snapshot: MapSnapshot, tenant_id: str) -> TenantEntry:
        entry = snapshot.tenant(tenant_id)
        if entry is None:
            raise TenantUnknown
        return entry

    def _quota(self, entry: TenantEntry) -> TenantQuota:
        now_s, kept = self._wall_clock(), self._kept.get(entry.tenant_id)
        if kept is not None and kept.entry is entry and kept.from_s <= now_s < kept.until_s:
            return kept.quota
        name, tier = self._tiers.named(entry.tier)
        if name != entry.tier:
            self._tell_unknown(entry)
        quota = quota_of(entry, name, tier, self._soft_part, now_s)
        if kept is None and len(self._kept) >= MAX_KEPT:
            self._kept.popitem(last=False)
        # A clock that was put back may bring an override back: then what is kept does not hold any more.
        from_s = now_s if entry.overrides else float("-inf")
        self._kept[entry.tenant_id] = _Kept(entry, quota, from_s, next_end_s(entry, now_s))
        return quota

    def _tell_unknown(self, entry: TenantEntry) -> None:
        if entry.tier not in self._told and len(self._told) < MAX_TOLD_TIERS:
            self._told.add(entry.tier)
            _LOG.warning("tier is not in the tier file", tier=entry.tier, tenant_hash=tenant_hash(entry.tenant_id))
