"""What routers report, as plain values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TierSeen:
    """One tier's searches in one router, in one span."""

    tier: str
    calls: int
    errors: int
    """Of them failed for a reason that is not the caller's and not its own quota's."""
    slow: int
    """Answers that took longer than the tier promises."""
    latency_counts: tuple[int, ...]
    """Bucket i: answers of up to 2^(i/2) ms and above the one before; the last one everything above."""
    utilisation: float
    """Largest part of the slots of any server of the region that this tier and those above it hold or want."""
    limit_errors: int = 0
    """Of the errors those that no lack of capacity caused; they count for the promise, and keep no level up."""

    @property
    def load_errors(self) -> int:
        """The other errors, by which levels are judged."""
        return self.errors - self.limit_errors

    def with_more(self, other: TierSeen) -> TierSeen:
        """Return the sum of both under this one's name; of utilisations the larger one."""
        longer, shorter = sorted((self.latency_counts, other.latency_counts), key=len, reverse=True)
        counts = tuple(count + (shorter[index] if index < len(shorter) else 0) for index, count in enumerate(longer))
        return TierSeen(
            self.tier,
            self.calls + other.calls,
            self.errors + other.errors,
            self.slow + other.slow,
            counts,
            max(self.utilisation, other.utilisation),
            self.limit_errors + other.limit_errors,
        )


@dataclass(frozen=True, slots=True)
class TenantSeen:
    """One tenant's searches in one router, in one span."""

    tenant_id: str
    calls: int
    errors: int
    slow: int
    cost_micros: int


@dataclass(frozen=True, slots=True)
class Report:
    """One router's account of a span; counted once for each `sequence`."""

    router: str
    sequence: int
    window_s: float
    tiers: tuple[TierSeen, ...]
    tenants: tuple[TenantSeen, ...]
