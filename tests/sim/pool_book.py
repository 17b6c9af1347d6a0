"""Independent account of one region's pools: what tiers draw, borrow, and how soon a lender has its own back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from tests.sim.even_book import EvenBook
from tests.sim.laws import Laws
from tests.sim.quota_book import Meter, OwingMeter
from tests.sim.share_book import PoolCall, ShareBook
from trunkline_tiers import TierFile

MARGIN: Final = 1.0
"""Requests that whole numbers may be off by."""


class PoolBook:
    """Three laws, as buckets that must never be overdrawn: all tiers draw no more than all pools hold; each tier draws
    no more than its own pool and what it may borrow; and all others together leave a lender what it keeps for itself.
    Each may be off by what a replica has drawn ahead and not handed out (`slack`), and none counts what a dry pool
    grants of its tenants' even parts, which has laws of its own (`EvenBook`). A fourth one is about time: a lender is
    refused neither what it keeps nor, once nobody borrows and its debts are paid, what flows in."""

    def __init__(
        self,
        region: str,
        tiers: TierFile,
        *,
        tenants: Mapping[str, int],
        slack: float,
        reclaim_bound_s: float,
        laws: Laws,
        clock: Callable[[], float],
    ) -> None:
        """`tenants`: how many of each tier draw from these pools; `slack`: requests that a replica may hold;
        `reclaim_bound_s`: time in which a lender has its own back."""
        self.refused_s: list[float] = []
        """How long a tier was refused what its own pool would have, had others not borrowed it; each time."""
        self.reclaim_bound_s: Final = reclaim_bound_s
        self.shares: Final = ShareBook(region, reclaim_bound_s, laws, clock)
        self.even_parts: Final = EvenBook(region, tiers, tenants, laws, clock)
        self._region = region
        self._laws = laws
        self._clock = clock
        self._refused_since_s: dict[str, float] = {}
        self._lent_at_s = dict.fromkeys(tiers.tiers, -math.inf)
        """When others last drew from a tier's pool."""
        now_s, burst_s = clock(), tiers.pool_burst_s
        rates = {name: tier.pool.requests_per_s for name, tier in tiers.tiers.items()}
        lent = {name: tier.pool.lendable_percent / 100 for name, tier in tiers.tiers.items()}
        borrowed = {name: tier.pool.borrowing_limit_percent / 100 for name, tier in tiers.tiers.items()}
        total = sum(rates.values())
        self._next_s = {name: 1 / rate for name, rate in rates.items()}
        """Until an empty pool holds a request again."""

        def meter(rate: float) -> Meter:
            return Meter(rate, rate * burst_s + slack + MARGIN, now_s)

        def at_least(rate: float) -> OwingMeter:
            return OwingMeter(rate, rate * burst_s, now_s)

        self._all = meter(total)
        self._tier = {name: meter(rate * (1 + borrowed[name])) for name, rate in rates.items()}
        self._others = {name: meter(total - rate * (1 - lent[name])) for name, rate in rates.items()}
        self._own = {name: at_least(rate) for name, rate in rates.items()}
        self._kept = {name: at_least(rate * (1 - lent[name])) for name, rate in rates.items()}

    def drew(self, call: PoolCall) -> None:
        """Note a run of the pool script."""
        self.shares.drew(call)
        self.even_parts.drew(call)
        for name, requests in call.taken.items():
            if requests and name != call.tier:
                self._lent_at_s[name] = self._clock()

    def granted(self, tier: str, granted: int, returned: int, advanced: int = 0, even: int = 0) -> None:
        """Note requests granted to a tier's tenant, what came back before, and what was spent in advance.

        `even`: what of `granted` its dry pool owes.
        """
        now_s, requests = self._clock(), granted - even
        self.shares.granted(tier, requests + advanced, returned)
        self._judge(self._all.take(requests, now_s, returned), "over_pool", f"{tier}: all pools together", now_s)
        self._judge(
            self._tier[tier].take(requests, now_s, returned), "over_pool", f"{tier}: with what it borrows", now_s
        )
        for name, meter in self._others.items():
            if name != tier:
                self._judge(meter.take(requests, now_s, returned), "over_pool", f"{tier}: deep into {name}'s", now_s)
        for own in (self._own[tier], self._kept[tier]):
            own.take(requests, now_s, returned)
            if even:
                own.owe(even)
        since_s = self._refused_since_s.pop(tier, None) if requests else None
        if since_s is not None and self._lent_at_s[tier] > -math.inf:
            self.refused_s.append(now_s - since_s)

    def refused(self, tier: str) -> None:
        """Note that a tier's pool refused one of its tenants."""
        now_s = self._clock()
        if self._own[tier].room(now_s) < 1 + MARGIN:
            self._refused_since_s.pop(tier, None)  # it has had its own: others lent it nothing, and that is right
            return
        since_s = self._refused_since_s.setdefault(tier, now_s)
        keeps = self._kept[tier].room(now_s) >= 1 + MARGIN
        flows_at_s = max(since_s, self._lent_at_s[tier], self.even_parts.owes_until_s(tier)) + self._next_s[tier]
        late_s = now_s - (since_s if keeps else flows_at_s)
        if late_s > self.reclaim_bound_s:
            text = f"{self._region}: {tier} refused {now_s - since_s:.1f} s in its own"
            self._laws.broken("lender_floor", now_s, text)

    def close(self) -> None:
        """Judge the end."""
        self.shares.close()
        self.even_parts.close()

    def _judge(self, left: float, kind: str, what: str, now_s: float) -> None:
        if left < 0:
            self._laws.broken(kind, now_s, f"{self._region}: {what}, {-left:.1f} too much")
