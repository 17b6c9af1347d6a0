"""The port to whoever keeps the quotas, in plain types."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol


class QuotaSource(Enum):
    """Who granted tokens."""

    AUTHORITY = auto()
    """The region's store: one count for all replicas."""
    LOCAL = auto()
    """This replica alone, from the share that a tier has without the store."""


@dataclass(frozen=True, slots=True)
class Quota:
    """What one tenant may spend now."""

    tenant_id: str
    tier: str
    rank: int
    rate_tokens_per_s: float
    """Above 0."""
    burst_tokens: float
    """At least 1."""
    guaranteed_share: float
    """0 to 1."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Tokens put aside for one request."""

    permit_id: str
    reserved_tokens: int
    expires_at_s: float
    """Unix time after which it is taken as spent."""
    source: QuotaSource


@dataclass(frozen=True, slots=True)
class Grant:
    """Tokens handed out ahead of time."""

    granted_tokens: int
    """0 to what was wanted."""
    retry_delay_s: float | None
    """After a refusal: when all that was wanted, or a full bucket if that is less, is there. None with a grant."""
    source: QuotaSource


class QuotaAuthority(Protocol):
    """Keeps one token bucket for each tenant: never grants more than `burst + rate * t` in any `t` seconds, refunds
    aside. Every method may raise BackendUnavailable or BackendTimeout where it depends on a store.
    """

    async def reserve(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation:
        """Put aside `cost_tokens` (1 to 10,000), or none.

        The same tenant and request id get the same reservation, charged once, until it expires. Raises
        QuotaExhausted with the delay until enough tokens are back (none if the cost exceeds the burst), and
        RequestIdReused if the earlier one reserved another cost.
        """

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        """End a reservation at its real cost and return the tokens that went back.

        Repeating it with the same cost changes nothing and returns the same. Raises PermitUnknown for a permit that
        is not the tenant's, has expired, or was settled with another cost; FieldInvalid for a cost above what was
        reserved.
        """

    async def take(self, quota: Quota, wanted_tokens: int, returned_tokens: int) -> Grant:
        """Put `returned_tokens` back, then hand out whole tokens, at most `wanted_tokens`. Both are 0 to 10,000."""
