"""What a router saw since its last report, added up in bounded memory."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_tiers import TierFile

BUCKETS: Final = 40
"""Of times; the contract's bound. Bucket i holds answers of up to 2^(i/2) ms, the last one everything above."""
MAX_TENANTS_KEPT: Final = 20_000
"""Tenants that are added up until they could be told; of further ones nothing is told."""
MAX_TENANTS_TOLD: Final = 2_000
"""Of one report; the contract's bound."""
MIN_SPAN_S: Final = 0.1
MAX_SPAN_S: Final = 60.0
"""Bounds of a span in the contract; what was kept longer is told as this long."""

_BOUNDS_MS: Final = tuple(2 ** (index / 2) for index in range(BUCKETS - 1))
_LEFT_OUT = metrics.counter("report_tenants_left_out", "Requests not told by tenant: too many tenants waited.")


def bucket_of(elapsed_s: float) -> int:
    """Return the bucket of an answer's time."""
    return bisect_left(_BOUNDS_MS, elapsed_s * 1000)


@dataclass(slots=True)
class TierSum:
    """One tier's requests."""

    calls: int = 0
    errors: int = 0
    limit_errors: int = 0
    slow: int = 0
    latency_counts: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    looks: int = 0
    utilisation_sum: float = 0.0

    @property
    def utilisation(self) -> float:
        """Mean of what was seen."""
        return self.utilisation_sum / self.looks if self.looks else 0.0


@dataclass(slots=True)
class TenantSum:
    """One tenant's requests."""

    calls: int = 0
    errors: int = 0
    slow: int = 0
    cost_micros: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """What one report tells."""

    sequence: int
    window_s: float
    tiers: Mapping[str, TierSum]
    tenants: Mapping[str, TenantSum]


class Sums:
    """Adds up until a report takes it."""

    def __init__(self, tiers: TierFile, *, clock: Clock = MONOTONIC) -> None:
        """Begin with nothing; a tier that the file does not have counts as the lowest."""
        self._file: Final = tiers
        self._clock: Final = clock
        self._tiers: dict[str, TierSum] = {}
        self._tenants: dict[str, TenantSum] = {}
        self._since_s = clock()
        self._sequence = 0

    def promised_s(self, tier: str) -> float:
        """Return the time that a tier's answers are promised in."""
        return self._file.named(tier)[1].objective.p95_ms / 1000

    def answered(self, tenant_id: str, tier: str, elapsed_s: float | None) -> None:
        """Add an answer; None for one whose time says nothing of the promise."""
        slow = elapsed_s is not None and elapsed_s > self.promised_s(tier)
        of_tier, of_tenant = self._tier(tier), self._tenant(tenant_id)
        if elapsed_s is not None:
            of_tier.latency_counts[bucket_of(elapsed_s)] += 1
        for one in (of_tier, of_tenant):
            one.calls += 1
            one.slow += slow

    def failed(self, tenant_id: str, tier: str, *, by_limit: bool = False) -> None:
        """Add a request that failed for a reason that is not its caller's; `by_limit` if no lack of capacity did it."""
        of_tier, of_tenant = self._tier(tier), self._tenant(tenant_id)
        of_tier.limit_errors += by_limit
        for one in (of_tier, of_tenant):
            one.calls += 1
            one.errors += 1

    def shed(self, tier: str, count: int) -> None:
        """Add requests that this server refused before anybody knew more of them than their tier."""
        of_tier = self._tier(tier)
        of_tier.calls += count
        of_tier.errors += count

    def asked(self, tenant_id: str) -> None:
        """Note that a tenant asked for something, so that the next report names it, and its budget is told."""
        self._tenant(tenant_id)

    def cost(self, tenant_id: str, micros: int) -> None:
        """Add what a request cost."""
        self._tenant(tenant_id).cost_micros += micros

    def used(self, tier: str, utilisation: float) -> None:
        """Add a look at how much of the servers a tier and those above it use."""
        of_tier = self._tier(tier)
        of_tier.looks += 1
        of_tier.utilisation_sum += utilisation

    def take(self) -> Span:
        """Return what was added up, under the next number, and begin anew; tenants beyond the bound stay."""
        now_s = self._clock()
        told = dict(islice(self._tenants.items(), MAX_TENANTS_TOLD))
        self._sequence += 1
        window_s = min(max(now_s - self._since_s, MIN_SPAN_S), MAX_SPAN_S)
        span = Span(self._sequence, window_s, self._tiers, told)
        self._tiers, self._since_s = {}, now_s
        self._tenants = {name: one for name, one in self._tenants.items() if name not in told}
        return span

    def _tier(self, tier: str) -> TierSum:
        name = self._file.named(tier)[0]
        found = self._tiers.get(name)
        if found is None:
            found = self._tiers[name] = TierSum()
        return found

    def _tenant(self, tenant_id: str) -> TenantSum:
        found = self._tenants.get(tenant_id)
        if found is None:
            found = TenantSum()
            if len(self._tenants) < MAX_TENANTS_KEPT:
                self._tenants[tenant_id] = found
            else:
                _LEFT_OUT.inc()
        return found
