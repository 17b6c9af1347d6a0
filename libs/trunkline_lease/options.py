"""How a lease holder behaves. Defaults suit a router beside its region's admission service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from trunkline_lease.charge import Charge

MAX_ASK: Final = 10_000
"""The contract's bound on requests and on tokens in one ask, wanted or returned."""


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """Bounds and times of a `LeaseHolder`."""

    max_tenants: int = 10_000
    """Leases held at once (a credential with limits of its own has one, too); the least recently used one gives back
    what it holds and makes room."""
    max_waiters_per_tenant: int = 256
    """Spenders of one lease that may wait for a refill; one more is refused as OVERLOADED."""

    first_ask_requests: int = 4
    """Asked for a tenant whose rate is not known yet: a few searches, so that several holders do not lie on all that a
    small tenant has."""
    first_ask_tokens: int = 20
    """The tokens of them."""
    max_ask: int = MAX_ASK
    """Most requests, and most tokens, asked for at once, 1 to 10,000."""
    horizon_s: float = 0.5
    """A refill aims at what the tenant spends in this time."""
    low_water: float = 0.5
    """Prefetch when less than this part of the last refill is left, of requests or of tokens."""
    rate_floor_s: float = 0.05
    """Shortest span over which a tenant's rate is measured, so that the first spends do not look like a flood."""
    ask_pace_s: float = 0.05
    """After a grant that fell short, a tenant does not ask again before this: a flood costs few calls."""
    recheck_s: float = 2.0
    """A refusal is believed for at most this long, however long it says: limits are raised, and what others held comes
    back. The caller is told the refusal's own delay."""

    refill_timeout_s: float = 0.12
    """Longest that a spender waits for a refill; above the service's own 50 ms for a store that hangs. After two such
    waits in a row without any answer nobody waits until one comes. Also told as the delay after which to come back
    where the safe mode has nothing left."""
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
    """Unused quota goes back this long before it is void."""
    sweep_interval_s: float = 0.25
    """How often quota near its end is looked for."""
    close_timeout_s: float = 1.0
    """Time to return unused quota at close."""

    safe_requests_per_s: float = 2.0
    """Safe mode: requests that each tenant may spend a second while the admission service is away, for holders that do
    not know tenants' tiers (`safe_share.SafeOf`). It bounds what a tenant gets beyond its limits: each holder grants it
    at most the bursts below, and the rates for the time of the outage. A lease that was evicted meanwhile begins with
    the bursts again."""
    safe_burst_requests: int = 10
    """Safe mode: requests at hand when it begins. With 0 there is no safe mode. Where it has nothing left, spenders are
    refused as OVERLOADED, or as the authority's last answer for them said, while that holds."""
    safe_tokens_per_s: float = 5.0
    """Safe mode: tokens a second."""
    safe_burst_tokens: int = 20
    """Safe mode: tokens at hand when it begins."""
    safe_rank: int = 0
    """Safe mode: rank of a tenant whose own is not known."""

    def __post_init__(self) -> None:
        """Raise ValueError for bounds that make no sense."""
        first, most = Charge(self.first_ask_requests, self.first_ask_tokens), Charge(self.max_ask, self.max_ask)
        if not (Charge(1, 1).within(first) and first.within(most) and self.max_ask <= MAX_ASK):
            raise ValueError("first_ask_requests, first_ask_tokens and max_ask must nest within 1 to 10,000")
        if self.max_tenants < 1 or self.max_waiters_per_tenant < 1:
            raise ValueError("max_tenants and max_waiters_per_tenant must be at least 1")
        if not (0 < self.low_water < 1 and 0 < self.deadline_part <= 1):
            raise ValueError("low_water and deadline_part are parts of a whole")
