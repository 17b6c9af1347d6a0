"""How a lease holder behaves. Defaults suit a router beside its region's admission service."""

from __future__ import annotations

from dataclasses import dataclass

MAX_ASK_TOKENS = 10_000
"""The contract's bound on tokens in one request, wanted or returned."""


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """Bounds and times of a `LeaseHolder`."""

    max_tenants: int = 10_000
    """Tenants held at once; the least recently used one gives its tokens back and makes room."""
    max_waiters_per_tenant: int = 256
    """Spenders of one tenant that may wait for a refill; one more is refused as OVERLOADED."""

    first_ask_tokens: int = 20
    """Asked for a tenant whose rate is not known yet: a few searches."""
    max_ask_tokens: int = MAX_ASK_TOKENS
    """Most tokens asked for at once, 1 to 10,000."""
    horizon_s: float = 0.5
    """A refill aims at what the tenant spends in this time."""
    low_water: float = 0.5
    """Prefetch when less than this part of the last refill is left."""
    rate_floor_s: float = 0.05
    """Shortest span over which a tenant's rate is measured, so that the first spends do not look like a flood."""
    ask_pace_s: float = 0.05
    """After a grant that fell short, a tenant does not ask again before this: a flood costs few calls."""

    refill_timeout_s: float = 0.12
    """Longest that a spender waits for a refill; above the service's own 50 ms for a store that hangs. After that
    nobody waits until an answer comes."""
    stuck_s: float = 2.0
    """A stream whose oldest ask is unanswered for this long is replaced."""
    deadline_part: float = 0.5
    """A spender waits at most this part of the deadline it has left."""
    connect_timeout_s: float = 2.0
    """Time in which the service must accept a stream."""
    backoff_first_s: float = 0.1
    """Mean pause before the second attempt to connect; doubles each time, half to one and a half of it is taken."""
    backoff_max_s: float = 2.0
    """Longest mean pause between attempts to connect."""
    settled_s: float = 5.0
    """A stream that lived this long was good: the next one is opened without a pause."""

    return_margin_s: float = 0.75
    """Unused tokens go back this long before they are void."""
    sweep_interval_s: float = 0.25
    """How often tokens near their end are looked for."""
    close_timeout_s: float = 1.0
    """Time to return unused tokens at close."""

    safe_rate_tokens_per_s: float = 5.0
    """Safe mode: what each tenant may spend a second while the admission service is away."""
    safe_burst_tokens: int = 20
    """Safe mode: tokens at hand when it begins."""
    safe_rank: int = 0
    """Safe mode: rank of a tenant whose own is not known."""

    def __post_init__(self) -> None:
        """Raise ValueError for bounds that make no sense."""
        if not 1 <= self.first_ask_tokens <= self.max_ask_tokens <= MAX_ASK_TOKENS:
            raise ValueError("first_ask_tokens and max_ask_tokens must nest within 1 to 10,000")
        if self.max_tenants < 1 or self.max_waiters_per_tenant < 1:
            raise ValueError("max_tenants and max_waiters_per_tenant must be at least 1")
        if not (0 < self.low_water < 1 and 0 < self.deadline_part <= 1):
            raise ValueError("low_water and deadline_part are parts of a whole")
