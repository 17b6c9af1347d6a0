"""The tier file: what tenants of each tier are promised and held to. Plain, frozen values; no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, field_validator, model_validator

MAX_TIERS: Final = 64
DAY_S: Final = 86_400.0

TierName = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,63}$")]
Percent = Annotated[float, Field(ge=0, le=100)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TenantShare(_Frozen):
    """What one tenant of a tier may ask for, unless it has limits of its own."""

    requests_per_day: PositiveInt = Field(le=10**12, description="Requests in the tenant's day.")
    requests_per_month: int = Field(0, ge=0, le=10**13, description="Requests in the tenant's month; 0 for no limit.")
    requests_per_minute: PositiveFloat = Field(le=10**9, description="Lasting rate.")
    burst_factor: float = Field(5.0, ge=1, le=1000, description="How many times the lasting rate a burst may have.")
    burst_s: PositiveFloat = Field(30.0, le=3600, description="How long such a burst may last.")
    tokens_per_request: PositiveFloat = Field(
        5.0,
        le=10_000,
        description="Cost tokens for each request of the rate: a full search costs 5, a write one a document.",
    )
    borrows_above_day: bool = Field(
        False, description="Beyond its daily number it may go on, out of what the tier's pool has to spare."
    )

    @property
    def requests_per_s(self) -> float:
        """The lasting rate in requests a second."""
        return self.requests_per_minute / 60

    @property
    def burst_requests(self) -> float:
        """Most requests at once, at least 1: what a burst of `burst_factor` over `burst_s` takes beyond the refill."""
        return max(1.0, (self.burst_factor - 1) * self.requests_per_s * self.burst_s)


class Pool(_Frozen):
    """What all tenants of a tier share in a region: a bucket that refills over the day."""

    requests_per_day: PositiveInt = Field(le=10**13, description="Requests a day of all the tier's tenants.")
    lendable_percent: Percent = Field(50.0, description="Part of the pool that other tiers may use while it is unused.")
    borrowing_limit_percent: Percent = Field(
        0.0, description="What the tier may borrow of others' pools, as a part of its own rate."
    )

    @property
    def requests_per_s(self) -> float:
        """The refill in requests a second."""
        return self.requests_per_day / DAY_S


class Capacity(_Frozen):
    """What the tier gets of a server while others want it too."""

    weight: PositiveFloat = Field(le=10**6, description="Share of the slots, relative to the other tiers'.")
    gpu_weight: PositiveFloat = Field(le=10**6, description="The same where models run: inference and rerank.")
    queue_length: PositiveInt = Field(le=100_000, description="Calls of the tier that may wait in one server.")
    in_flight_per_key: PositiveInt = Field(le=100_000, description="Requests of one credential at a time, per router.")
    in_flight_per_instance: PositiveInt = Field(le=100_000, description="Requests of one tenant at a time, per router.")


class Objective(_Frozen):
    """What the tier is promised."""

    p95_ms: PositiveFloat = Field(le=600_000, description="95 % of the answers come within this time.")
    availability: float = Field(gt=0, lt=1, description="Part of the requests that succeed; the rest is the budget.")


class Tier(_Frozen):
    """One tier."""

    rank: int = Field(ge=0, le=1000, description="Higher is served first; no two tiers share one.")
    tenant: TenantShare
    pool: Pool
    capacity: Capacity
    without_store_share: float = Field(
        ge=0, le=1, description="Part of a tenant's rate that is kept even without Redis, before the cut by replicas."
    )
    objective: Objective


class LevelThresholds(_Frozen):
    """Any one of them, exceeded for long enough, brings the level."""

    utilisation: PositiveFloat = Field(le=10, description="Slots held and wanted over slots there are.")
    p95_ms: PositiveFloat = Field(le=600_000, description="Of searches.")
    error_rate: float = Field(gt=0, le=1, description="Failed over all; refusals of a tenant's own quota do not count.")


class Levels(_Frozen):
    """When a region leaves work out to keep its promises."""

    reduced: LevelThresholds
    emergency: LevelThresholds
    down_after_s: PositiveFloat = Field(30.0, le=3600, description="A threshold must be exceeded for this long.")
    up_after_s: PositiveFloat = Field(300.0, le=86_400, description="And not at all for this long to go back a level.")

    @model_validator(mode="after")
    def _nested(self) -> Self:
        low, high = self.reduced, self.emergency
        if not (low.utilisation < high.utilisation and low.p95_ms < high.p95_ms and low.error_rate < high.error_rate):
            raise ValueError("every threshold of `emergency` must be above that of `reduced`")
        return self


class TierFile(_Frozen):
    """All tiers, and what concerns them together."""

    version: Literal[1] = 1
    tiers: Mapping[TierName, Tier] = Field(min_length=1, max_length=MAX_TIERS)
    pool_burst_s: PositiveFloat = Field(
        86_400.0,
        le=86_400,
        description="A pool holds at most what refills in this time. With less than a day, tenants that are each within"
        " their own day can use up what others of their tier are promised.",
    )
    service_requests_per_day: int = Field(
        0, ge=0, le=10**14, description="Requests a day of the whole region; 0 for the sum of the pools."
    )
    soft_limit_percent: Percent = Field(80.0, description="Used part of a daily or monthly limit that is warned of.")
    preempt_after_ms: PositiveFloat = Field(
        50.0, le=60_000, description="Promised work that waited so long for a slot ends the newest borrowed work."
    )
    levels: Levels

    @field_validator("tiers", mode="after")
    @classmethod
    def _immutable(cls, tiers: Mapping[str, Tier]) -> Mapping[str, Tier]:
        return MappingProxyType(dict(tiers))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ranks = [tier.rank for tier in self.tiers.values()]
        if len(set(ranks)) != len(ranks):
            raise ValueError("no two tiers may share a rank")
        for name, tier in self.tiers.items():
            if tier.tenant.requests_per_day > tier.pool.requests_per_day:
                raise ValueError(f"{name}: one tenant's day must fit into the tier's pool")
            if tier.tenant.requests_per_month and tier.tenant.requests_per_month < tier.tenant.requests_per_day:
                raise ValueError(f"{name}: a month's requests must be at least a day's")
        return self

    @property
    def lowest(self) -> str:
        """Name of the tier of the lowest rank: what an unknown tier counts as."""
        return min(self.tiers, key=lambda name: self.tiers[name].rank)

    @property
    def by_rank(self) -> tuple[str, ...]:
        """Names of the tiers, lowest rank first."""
        return tuple(sorted(self.tiers, key=lambda name: self.tiers[name].rank))

    def named(self, name: str) -> tuple[str, Tier]:
        """Return the tier of that name, or the lowest one if there is none: nobody is shut out by a new name."""
        known = name if name in self.tiers else self.lowest
        return known, self.tiers[known]
