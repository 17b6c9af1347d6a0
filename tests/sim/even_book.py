"""Independent account of what a dry pool grants: each tenant's even part of its day at most, and the pool owes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.sim.laws import Laws
from tests.sim.quota_book import SKEW_S
from tests.sim.share_book import PoolCall
from trunkline_tiers import TierFile

MARGIN: Final = 1.0
"""Requests that whole numbers may be off by."""
_EVEN_AT: Final = 14


@dataclass(frozen=True, slots=True)
class EvenGrant:
    """A run of the tenant's script that granted some although the pool is dry (`scripts/tenant.lua` of admission)."""

    tenant_id: str
    requests: int

    @classmethod
    def read(cls, key: str, args: Sequence[str | int | float], answer: Sequence[int]) -> EvenGrant | None:
        """Return what a call over the wire granted so; None for one that did not."""
        if args[0] != "take" or not args[_EVEN_AT] or answer[0] != 0 or not answer[1]:
            return None
        return cls(key[key.index("{") + 1 : key.index("}")], answer[1])


class EvenBook:
    """Three laws: no tenant is granted more so in its day than its even part of its pool's day; the pool is told, with
    the next call, exactly what it owes for it; and who draws from a pool that owes waits until that has flowed in."""

    def __init__(
        self, region: str, tiers: TierFile, tenants: Mapping[str, int], laws: Laws, clock: Callable[[], float]
    ) -> None:
        """`tenants`: how many of each tier draw from the region's pools."""
        self._region = region
        self._laws = laws
        self._clock = clock
        self._parts = {
            name: tier.pool.requests_per_day // max(1, tenants.get(name, 0)) for name, tier in tiers.tiers.items()
        }
        self._granting: dict[str, int] = {}
        """By tenant: granted by the script, and not yet noted as a grant."""
        self._untold: dict[str, deque[tuple[float, int]]] = {name: deque() for name in tiers.tiers}
        """By tier: when granted, and how many."""
        self._levels = {
            name: _Level(tier.pool.requests_per_s, tier.pool.requests_per_s * tiers.pool_burst_s, clock())
            for name, tier in tiers.tiers.items()
        }

    def saw(self, grant: EvenGrant) -> None:
        """Note that the tenant's script granted some although the pool is dry."""
        self._granting[grant.tenant_id] = self._granting.get(grant.tenant_id, 0) + grant.requests

    def granted(self, tenant_id: str, tier: str, today: int) -> int:
        """Note a grant to a tenant that has `today` requests of its day now; return how many the dry pool owes."""
        even = self._granting.pop(tenant_id, 0) if self._granting else 0
        if even:
            now_s = self._clock()
            self._untold[tier].append((now_s, even))
            if today > self._parts[tier]:
                text = f"{self._region}: {tenant_id} has {today} today, {even} of a dry pool"
                self._laws.broken("over_even", now_s, f"{text}, of {self._parts[tier]}")
        return even

    def drew(self, call: PoolCall) -> None:
        """Note a run of the pool script, and what it was told that the pool owes."""
        self._told(call.tier, call.owed)
        now_s = self._clock()
        for name, level in self._levels.items():
            owed = call.owed if name == call.tier else 0
            left = level.after(now_s, call.back.get(name, 0), owed, call.taken.get(name, 0))
            if call.taken.get(name, 0) and left < -MARGIN:
                text = f"{self._region}: {call.tier} out of {name}'s, {-left:.1f} more than it has"
                self._laws.broken("over_pool", now_s, text)

    def owes_until_s(self, tier: str) -> float:
        """Return when a tier's pool has, or had, paid what it owes."""
        return self._levels[tier].paid_at_s

    def close(self) -> None:
        """Judge the end: every pool was told everything."""
        for tier in self._untold:
            self._judge(tier, oldest_s=0.0)

    def _told(self, tier: str, owed: int) -> None:
        untold = self._untold[tier]
        while untold and owed:
            at_s, requests = untold.popleft()
            if requests > owed:
                untold.appendleft((at_s, requests - owed))
            owed -= min(owed, requests)
        if owed:
            self._laws.broken("unowed", self._clock(), f"{self._region}: {tier} owes {owed} that nobody was granted")
        self._judge(tier, oldest_s=SKEW_S)

    def _judge(self, tier: str, *, oldest_s: float) -> None:
        """Judge what the pool was not told though it was asked since: a call may be under way for `oldest_s`."""
        untold = self._untold[tier]
        if untold and self._clock() - untold[0][0] >= oldest_s:
            requests = sum(each for _, each in untold)
            text = f"{self._region}: {tier}'s dry pool granted {requests} and does not owe them"
            self._laws.broken("unowed", self._clock(), text)


class _Level:
    """What a pool holds by the calls that it saw; negative is what it owes, as much as it holds when full at most."""

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self.paid_at_s = now_s
        """When it owed nothing any more, or will not."""
        self._rate = rate_per_s
        self._burst = burst
        self._level = burst
        self._at_s = now_s

    def after(self, now_s: float, back: int, owed: int, taken: int) -> float:
        """Return what is left after a call. What is below a debt of a burst is forgiven with the next one."""
        burst, level = self._burst, self._level + (now_s - self._at_s) * self._rate
        level = min(burst, max(-burst, min(burst, level)) + back) - owed - taken
        self._at_s, self._level = now_s, level
        if level < 0:
            self.paid_at_s = now_s + min(-level, burst) / self._rate
        return level
