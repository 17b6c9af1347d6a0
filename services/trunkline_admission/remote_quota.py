"""A tenant's quota as another region keeps it: leased from there by demand, so that nobody waits for a far call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from trunkline_admission.notes import refusal_of, warnings_of
from trunkline_admission.quota import (
    BucketLimit,
    Grant,
    Limits,
    LimitState,
    Period,
    QuotaAuthority,
    QuotaSource,
    Refusal,
    Scope,
    TenantQuota,
    Unit,
)
from trunkline_admission.remote_states import AskStates
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.refused import Refused
from trunkline_lease.spent import TokenSource
from trunkline_lease.tenant_lease import Drawn
from trunkline_mesh.errors import Overloaded

FAR_RETRY_S: Final = 0.15
"""Told while the home's answer is under way and the advance is used up: about a round trip between continents."""

HOME_AWAY_RETRY_S: Final = 5.0
"""Told where a tier has no share without its store, and the home is away."""


@dataclass(frozen=True, slots=True)
class AdvancePolicy:
    """What a region lets a tenant have before its home has answered."""

    max_requests: int = 20
    """Most requests of one tenant that are out in advance."""
    day_part: float = 0.1
    """And at most this part of its day's requests, at least one."""

    def limit(self, quota: TenantQuota) -> Charge:
        """Return the most that may be out: requests, and the tokens that its limits allow for as many."""
        days = [
            count.limit for count in quota.limits.counts if count.unit is Unit.REQUESTS and count.period is Period.DAY
        ]
        requests = min([self.max_requests, *(max(1, int(day * self.day_part)) for day in days)])
        rates, tokens = quota.limits.requests, quota.limits.tokens
        per_request = 1.0 if tokens is None or rates is None else tokens.rate_per_s / rates.rate_per_s
        return Charge(requests, max(1, math.ceil(requests * per_request)))


class RemoteQuota:
    """A `QuotaAuthority` over a lease from the home region. Never waits for it.

    What is held answers. Where nothing is held yet, an advance is granted at once and booked with the next ask: at most
    `AdvancePolicy.limit` is out in one region that no grant has covered, so all regions together grant at most the
    tenant's limits and (regions - 1) advances. While the home is away this region's own store counts, and the tenant
    has `alone_part` of its limits here, source LOCAL: a lost region must not take most of a tenant's quota with it.
    """

    def __init__(
        self,
        home: str,
        holder: LeaseHolder,
        own: QuotaAuthority,
        regions_of: Callable[[str], int],
        advances: AdvancePolicy | None = None,
        ask_states: AskStates | None = None,
    ) -> None:
        """Lease from region `home` through `holder`; `own` counts here while that one is away. `regions_of` tells how
        many regions may keep a tenant's quota;
        `ask_states` asks the home for the states of limits, which nobody knows here without it."""
        self._home = home
        self._holder = holder
        self._own = own
        self._regions_of = regions_of
        self._advances = advances or AdvancePolicy()
        self._ask_states = ask_states

    async def take(
        self,
        quota: TenantQuota,
        wanted: Charge,
        returned: Charge = NOTHING,
        *,
        key: str = "",
        advanced: Charge = NOTHING,
    ) -> Grant:
        """As `QuotaAuthority.take`, from what this region holds of the tenant."""
        tenant_id = quota.tenant_id
        try:
            if advanced:
                self._holder.note_advance(tenant_id, advanced, key=key)
            self._holder.refund(tenant_id, returned, key=key)
            if not wanted:
                return Grant(NOTHING, QuotaSource.AUTHORITY)
            limit = self._advances.limit(quota) if self._holder.healthy else NOTHING
            drawn = self._holder.draw(tenant_id, wanted, key=key, advance=limit)
        except Overloaded:
            return _UNDER_WAY  # every lease that there is room for is in use
        if drawn.charge:
            return _granted(drawn)
        if not self._holder.healthy:
            return await self._alone(quota, wanted, key)
        return _UNDER_WAY if drawn.refused is None else _refused(drawn.refused)

    async def states(self, quota: TenantQuota, key: str = "") -> Sequence[LimitState]:
        """As `QuotaAuthority.states`, asked of the home region. Raises what that fails with."""
        if self._ask_states is None:
            return ()
        return await self._ask_states(self._home, quota.tenant_id, key)

    async def _alone(self, quota: TenantQuota, wanted: Charge, key: str) -> Grant:
        part = alone_part(quota, self._regions_of(quota.tenant_id))
        if part <= 0:
            return _NO_SHARE
        grant = await self._own.take(cut(quota, part), wanted, key=key)
        return replace(grant, source=QuotaSource.LOCAL)


def alone_part(quota: TenantQuota, regions: int) -> float:
    """Return the part of a tenant's limits that a region grants while the home is away.

    The regions that are left together keep the share that the tier has without its store: if the home is not lost but
    cut off, and goes on granting all of the limits, that share is what may be granted on top of them.
    """
    return quota.without_store_share / max(1, regions - 1)


def cut(quota: TenantQuota, part: float) -> TenantQuota:
    """Return the quota with all its limits cut to `part` of them, each at least 1."""
    return replace(
        quota, limits=_cut(quota.limits, part), keys={key: _cut(own, part) for key, own in quota.keys.items()}
    )


def _cut(limits: Limits, part: float) -> Limits:
    return replace(
        limits,
        requests=_cut_bucket(limits.requests, part),
        tokens=_cut_bucket(limits.tokens, part),
        counts=tuple(replace(count, limit=max(1, int(count.limit * part))) for count in limits.counts),
    )


def _cut_bucket(bucket: BucketLimit | None, part: float) -> BucketLimit | None:
    return None if bucket is None else BucketLimit(bucket.rate_per_s * part, max(1.0, bucket.burst * part))


def _granted(drawn: Drawn) -> Grant:
    if drawn.spent is None:
        return Grant(drawn.charge, QuotaSource.AUTHORITY)
    source = QuotaSource.LOCAL if drawn.spent.source is TokenSource.LOCAL else QuotaSource.AUTHORITY
    return Grant(drawn.charge, source, warnings=warnings_of(drawn.spent.notes))


def _refused(refused: Refused) -> Grant:
    return Grant(NOTHING, QuotaSource.AUTHORITY, refusal_of(refused))


_NO_SHARE: Final = Grant(
    NOTHING, QuotaSource.LOCAL, Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, HOME_AWAY_RETRY_S)
)
_UNDER_WAY: Final = Grant(
    NOTHING,
    QuotaSource.AUTHORITY,
    Refusal(Scope.TENANT, Period.RATE, Unit.REQUESTS, FAR_RETRY_S),
)
