"""The port to whoever keeps the quotas, in plain types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Protocol

from trunkline_lease.charge import NOTHING, Charge


class QuotaSource(Enum):
    """Who granted."""

    AUTHORITY = auto()
    """The region's store: one count for all replicas."""
    LOCAL = auto()
    """This replica alone, from the share that a tier has without the store."""


class Scope(Enum):
    """Whose limit; values as in the contract."""

    SERVICE = 1
    TIER = 2
    TENANT = 3
    KEY = 4


class Period(Enum):
    """Over which time a limit counts; values as in the contract."""

    RATE = 1
    DAY = 2
    MONTH = 3


class Unit(Enum):
    """What a limit counts; values as in the contract."""

    REQUESTS = 1
    TOKENS = 2
    MICROS = 3


@dataclass(frozen=True, slots=True)
class BucketLimit:
    """A token bucket: never more than `burst + rate_per_s * t` in any `t` seconds."""

    rate_per_s: float
    """Above 0."""
    burst: float
    """At least 1."""


@dataclass(frozen=True, slots=True)
class CountLimit:
    """So much in a day or month of the tenant's time zone."""

    period: Period
    """DAY or MONTH."""
    unit: Unit
    limit: int
    """At least 1."""
    soft_part: float
    """Used part that is warned of, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Limits:
    """One set of limits; absent ones do not limit."""

    requests: BucketLimit | None
    tokens: BucketLimit | None
    counts: tuple[CountLimit, ...] = ()
    overridden: bool = False
    """True if they come from an override with an end."""


@dataclass(frozen=True, slots=True)
class TenantQuota:
    """All that limits one tenant now. Made anew whenever its map entry or an override's end changes it."""

    tenant_id: str
    tier: str
    """As it is applied: one of the tier file's."""
    rank: int
    limits: Limits
    without_store_share: float
    """0 to 1."""
    borrows_above_day: bool = False
    """Beyond its daily number of requests it may go on, out of what its tier's pool has to spare."""
    shadow: Limits | None = None
    """On trial: counted and told, never enforced."""
    keys: Mapping[str, Limits] = field(default_factory=lambda: MappingProxyType({}))
    """Limits of single credentials, by subject."""
    time_zone: str = "UTC"
    """IANA name."""
    budget_micros_per_month: int = 0
    """0 for none."""


@dataclass(frozen=True, slots=True)
class LimitWarning:
    """A limit that is nearly used up, or one on trial that would have refused."""

    scope: Scope
    period: Period
    unit: Unit
    used_part: float
    shadow: bool
    resets_at_s: float | None
    """Unix time; None for a rate."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Whose limit refused, and when to come back."""

    scope: Scope
    period: Period
    unit: Unit
    retry_delay_s: float | None
    """When all that was wanted is there; None if it never fits."""
    most: int | None = None
    """The most that the limit ever has room for, where that is known: a burst, or a period's number."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What was handed out ahead of time."""

    granted: Charge
    """Each within what was wanted. NOTHING after a refusal: requests without tokens would help nobody."""
    source: QuotaSource
    refusal: Refusal | None = None
    warnings: tuple[LimitWarning, ...] = ()
    borrowed: int = 0
    """Requests of `granted` beyond the tenant's daily number, out of what its tier's pool has to spare."""


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit and how much of it is used; for operators."""

    scope: Scope
    period: Period
    unit: Unit
    limit: int
    """A minute's for a rate."""
    used: int
    """In the period; for a rate what is missing in the bucket, more than `burst` in debt."""
    burst: int = 0
    shadow: bool = False
    overridden: bool = False
    resets_at_s: float | None = None
    source: QuotaSource = QuotaSource.AUTHORITY
    """LOCAL tells of this replica's share alone."""


class QuotaAuthority(Protocol):
    """Keeps the hierarchy of limits: service, tier, tenant, key. Every grant has passed all of them.

    Laws: no bucket ever grants more than `burst + rate * t` in any `t` seconds, returns aside; no count more than its
    limit in a period, except what its tier borrows by rule. Methods may raise BackendUnavailable or BackendTimeout
    where they depend on a store.
    """

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """Book `advanced` (spent before it was granted; it may bring a debt), put `returned` back, then grant.

        Grants at most `wanted`, whole numbers. A debt is one burst at most; buckets are filled up to their burst,
        counts go down to 0. `key` is a subject in `quota.keys`, or empty. One round trip; none if the pool is empty.
        """

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """Return every limit of the tenant, and of its key if one is named, with its state; changes nothing."""
