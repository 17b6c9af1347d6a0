"""A keeper of quotas under test, its time, and the quotas that tests give it."""

from __future__ import annotations

import calendar
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from trunkline_admission.quota import BucketLimit, CountLimit, Limits, Period, TenantQuota, Unit
from trunkline_admission.redis_quota import RedisQuota, not_counted
from trunkline_admission.scripting import ScriptRunner
from trunkline_lease.charge import Charge
from trunkline_tiers import TierFile, default_tiers

NOON_S = calendar.timegm((2026, 6, 15, 12, 0, 0))
"""Where each test begins, by the store's clock: a Monday, 12:00 UTC."""
DAY_S = 86_400


class QuotaSubject(ABC):
    """An authority over a script runner. Every subject has keys of its own."""

    slack_s: float = 0.0
    """Real time that may pass in the store while a test runs, on top of what the test lets pass."""
    prefix: str = "test"

    def __init__(self) -> None:
        self.numbers = itertools.count()
        self.quotas = self.replica()

    @property
    @abstractmethod
    def runner(self) -> ScriptRunner:
        """The store."""

    @abstractmethod
    def store_offset_s(self) -> float:
        """What is added to the store's own clock."""

    @abstractmethod
    def now_s(self) -> float:
        """Unix time as the test has it."""

    @abstractmethod
    def pass_time(self, seconds: float) -> None:
        """Move the store's clock and the replicas'; negative to step back."""

    @abstractmethod
    async def keys(self) -> Mapping[str, float]:
        """Return what is stored, with the seconds that it stays."""

    @abstractmethod
    async def lose_everything(self) -> None:
        """Be as after a restart without a copy on disk."""

    def replica(
        self,
        tiers: TierFile | None = None,
        *,
        ahead_s: float = 0.0,
        share_valid_s: float = 2.0,
        tenants_of: Callable[[str], int] = not_counted,
    ) -> RedisQuota:
        """Return another replica; its own clock is `ahead_s` ahead of the store's."""
        return RedisQuota(
            self.runner,
            tiers or default_tiers(),
            key_prefix=self.prefix,
            share_valid_s=share_valid_s,
            clock=self.now_s,
            wall_clock=lambda: self.now_s() + ahead_s,
            clock_offset_s=self.store_offset_s,
            tenants_of=tenants_of,
        )

    def quota(
        self, *, rate: float = 1000.0, burst: float = 1000.0, tier: str = "enterprise", **more: Any
    ) -> TenantQuota:
        """Return a quota of a new tenant whose requests are bounded; `more` are fields of its `TenantQuota`."""
        name = more.pop("tenant_id", "") or f"tenant-{next(self.numbers)}"
        limits = more.pop("limits", None) or Limits(BucketLimit(rate, burst), None)
        return TenantQuota(name, tier, 1, limits, 0.5, **more)


def day_limits(limit: int, *, unit: Unit = Unit.REQUESTS, period: Period = Period.DAY, soft: float = 0.8) -> Limits:
    """Return a single count, with a rate that does not matter."""
    return Limits(BucketLimit(1000.0, 1000.0), BucketLimit(1000.0, 1000.0), (CountLimit(period, unit, limit, soft),))


def searches(count: int, tokens: int | None = None) -> Charge:
    """Return a charge for so many requests; one token each unless told."""
    return Charge(count, count if tokens is None else tokens)


def pool_tiers(
    pools: Mapping[str, Mapping[str, float]], *, burst_s: float = 100.0, service_per_s: float = 0
) -> TierFile:
    """Return the default tiers with pools of `per_s`, `lendable` and `borrowing` (percent); lowest rank first."""
    base = default_tiers()
    tiers = {}
    for rank, (name, pool) in enumerate(pools.items()):
        tier = base.tiers["free"]
        changed = {
            "requests_per_day": round(pool["per_s"] * DAY_S),
            "lendable_percent": pool.get("lendable", 50.0),
            "borrowing_limit_percent": pool.get("borrowing", 0.0),
        }
        tiers[name] = tier.model_copy(update={"rank": rank, "pool": tier.pool.model_copy(update=changed)})
    return base.model_copy(
        update={
            "tiers": tiers,
            "pool_burst_s": burst_s,
            "service_requests_per_day": round(service_per_s * DAY_S),
        }
    )


def with_id(quota: TenantQuota, **changes: Any) -> TenantQuota:
    """Return the same tenant with other limits."""
    return replace(quota, **changes)
