"""Use case: tokens handed to routers ahead of time, and taken back."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from trunkline_admission.quota import QuotaAuthority, QuotaSource
from trunkline_admission.tenants import TenantQuotas
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.errors import TenantSuspended, TenantUnknown

NO_TENANT_RETRY_S: Final = 1.0
"""When to ask again for a tenant that the map does not have, or that is suspended."""


@dataclass(frozen=True, slots=True)
class LeaseGrant:
    """The answer to one wish for tokens."""

    granted_tokens: int
    retry_delay_s: float | None
    rank: int
    tier: str
    """Empty for a tenant that is unknown or suspended."""
    source: QuotaSource


class Leases:
    """Answers routers' wishes. A router may give back what it was granted lately, and no more."""

    def __init__(
        self,
        tenants: TenantQuotas,
        quotas: QuotaAuthority,
        *,
        valid_s: float,
        max_tenants: int,
        clock: Clock = MONOTONIC,
    ) -> None:
        """Grant tokens that live `valid_s`; keep account of `max_tenants` tenants for each kind of router."""
        self._tenants = tenants
        self._quotas = quotas
        self._account = LeaseAccount(valid_s=valid_s, max_entries=max_tenants, clock=clock)

    async def exchange(self, router: str, tenant_id: str, wanted_tokens: int, returned_tokens: int) -> LeaseGrant:
        """Take tokens back, then grant up to `wanted_tokens` (both 0 to 10,000) to the router of that credential.

        A tenant that is unknown or suspended is granted none. Raises MapNotReady.
        """
        accepted = self._account.take_back(router, tenant_id, returned_tokens)
        try:
            quota = self._tenants.now(tenant_id)
        except (TenantUnknown, TenantSuspended):
            return LeaseGrant(0, NO_TENANT_RETRY_S, 0, "", QuotaSource.AUTHORITY)
        grant = await self._quotas.take(quota, wanted_tokens, accepted)
        self._account.hand_out(router, tenant_id, grant.granted_tokens)
        return LeaseGrant(grant.granted_tokens, grant.retry_delay_s, quota.rank, quota.tier, grant.source)


@dataclass(slots=True)
class _Handed:
    """Tokens handed out in the current period and in the one before."""

    period: int
    now_tokens: int = 0
    before_tokens: int = 0


class LeaseAccount:
    """Bounds what may come back: tokens handed out within the last one to two lifetimes of a lease.

    Older ones are void by contract. Kept by credential and not by stream, so that a router which reconnects may still
    give back; the least recently used entry makes room and can then return nothing.
    """

    def __init__(self, *, valid_s: float, max_entries: int, clock: Clock) -> None:
        """Nothing is handed out yet."""
        self._valid_s = valid_s
        self._max_entries = max_entries
        self._clock = clock
        self._handed: OrderedDict[tuple[str, str], _Handed] = OrderedDict()

    def hand_out(self, router: str, tenant_id: str, tokens: int) -> None:
        """Remember a grant."""
        if tokens <= 0:
            return
        key, period = (router, tenant_id), self._period()
        handed = self._handed.get(key)
        if handed is None:
            if len(self._handed) >= self._max_entries:
                self._handed.popitem(last=False)
            handed = self._handed[key] = _Handed(period)
        else:
            self._handed.move_to_end(key)
            _turn(handed, period)
        handed.now_tokens += tokens

    def take_back(self, router: str, tenant_id: str, tokens: int) -> int:
        """Return how many of `tokens` may be put back; each only once."""
        handed = self._handed.get((router, tenant_id)) if tokens > 0 else None
        if handed is None:
            return 0
        _turn(handed, self._period())
        older = min(tokens, handed.before_tokens)
        newer = min(tokens - older, handed.now_tokens)
        handed.before_tokens -= older
        handed.now_tokens -= newer
        return older + newer

    def _period(self) -> int:
        return int(self._clock() // self._valid_s)


def _turn(handed: _Handed, period: int) -> None:
    passed = period - handed.period
    if passed > 0:
        handed.before_tokens = handed.now_tokens if passed == 1 else 0
        handed.now_tokens = 0
        handed.period = period
