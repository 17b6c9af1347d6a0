"""Use cases: one request's permit, and its end. Permits live in the replica that made them."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from trunkline_admission.errors import charged_too_much
from trunkline_admission.lease_metrics import CANCELLED, EXPIRED, EXPIRED_BACK_TOKENS, SETTLED, SETTLED_BACK_TOKENS
from trunkline_admission.permit_table import Permit, PermitTable
from trunkline_admission.quota import TenantQuota
from trunkline_lease.charge import Charge
from trunkline_lease.holder import LeaseHolder
from trunkline_lease.spent import Spent, TokenSource
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import PermitExpired, PermitUnknown, RequestIdReused

SWEEP_S: Final = 1.0
"""How often permits are looked through for those that nobody settled."""


class AdmittedTenants(Protocol):
    """What the map says of tenants; `TenantQuotas` is one."""

    def now(self, tenant_id: str) -> TenantQuota:
        """Return the tenant's quota by the map at hand. Raises TenantUnknown, TenantSuspended, MapNotReady."""

    async def at(self, tenant_id: str, map_token: bytes, deadline: Deadline) -> TenantQuota:
        """Return it as of the map token or later; raises StaleMap and MapTokenInvalid, too."""


@dataclass(slots=True)
class AdmitWish:
    """One request's wish to spend. Not frozen: that would cost a twentieth of the decision."""

    tenant_id: str
    request_id: str
    charge: Charge
    subject: str
    """Of the credential; counts where the tenant limits its credentials one by one."""
    map_token: bytes = b""


class Permits:
    """Admits requests from leases that this replica holds, and settles them.

    A request id stands for one permit for as long as that lives, settled or not. A permit that nobody settled ends
    `ttl_s` after it was made, and all that it had reserved goes back. If there are more than the table holds, in all
    or of one tenant, a settled one makes room, else the oldest; unsettled, it counts as spent.
    """

    def __init__(
        self,
        tenants: AdmittedTenants,
        holder: LeaseHolder,
        *,
        require_inside: Callable[[str], object],
        ttl_s: float,
        max_permits: int,
        clock: Clock = MONOTONIC,
        wall_clock: Clock = time.time,
    ) -> None:
        """Spend from `holder`. `require_inside` raises for a tenant that must not be counted in this region."""
        self._tenants = tenants
        self._holder = holder
        self._require_inside = require_inside
        self._ttl_s = ttl_s
        self._clock = clock
        self._wall_clock = wall_clock
        self._table = PermitTable(max_permits)
        self._pending: dict[tuple[str, str], asyncio.Future[None]] = {}
        self._mark = secrets.token_hex(8)
        self._made = 0

    def __len__(self) -> int:
        return len(self._table)

    def admit_now(self, wish: AdmitWish) -> Permit | None:
        """Admit a request without waiting, where its tenant's lease covers it; None if that takes more.

        Raises TenantUnknown, TenantSuspended, ResidencyRouterOutside, MapNotReady, RequestIdReused.
        """
        if wish.map_token or (self._pending and (wish.tenant_id, wish.request_id) in self._pending):
            return None
        quota = self._quota_now(wish.tenant_id)
        earlier = self._earlier(wish)
        if earlier is not None:
            return earlier
        key = wish.subject if wish.subject in quota.keys else ""
        spent = self._holder.try_spend(wish.tenant_id, wish.charge, key)
        return None if spent is None else self._table.add(self._permit(wish, quota.tier, key, spent))

    async def admit(self, wish: AdmitWish, deadline: Deadline) -> Permit:
        """Admit a request, once, however often and however concurrently it is asked.

        Raises what `admit_now` and `TenantQuotas.at` raise, QuotaExhausted, Overloaded, and DeadlineExceeded while the
        same request id is being decided for too long.
        """
        quota = await self._tenants.at(wish.tenant_id, wish.map_token, deadline)
        self._require_inside(wish.tenant_id)
        name = (wish.tenant_id, wish.request_id)
        while (pending := self._pending.get(name)) is not None:
            await asyncio.wait((pending,), timeout=deadline.require())
        earlier = self._earlier(wish)
        if earlier is not None:
            return earlier
        key = wish.subject if wish.subject in quota.keys else ""
        deciding = self._pending[name] = asyncio.get_running_loop().create_future()
        try:
            spent = await self._holder.spend(wish.tenant_id, wish.charge, deadline, key=key)
            return self._table.add(self._permit(wish, quota.tier, key, spent))
        finally:
            del self._pending[name]
            deciding.set_result(None)

    def settle(self, tenant_id: str, permit_id: str, charged_tokens: int, *, cancelled: bool = False) -> int:
        """End a permit with its real cost; return the tokens that go back, and with `cancelled` the requests, too.

        Raises PermitExpired for one that ended unsettled lately; PermitUnknown, also for one that was settled
        otherwise; FieldInvalid for a cost above the reservation. Asks nothing of the map: who was suspended or removed
        meanwhile may still settle.
        """
        permit = self._table.get(permit_id)
        if permit is not None and permit.ends_at_s <= self._clock():
            self.expire()
            permit = None
        if permit is None or permit.tenant_id != tenant_id:
            raise PermitExpired if self._table.expired_lately(permit_id, tenant_id) else PermitUnknown
        if charged_tokens > permit.charge.tokens:
            raise charged_too_much(permit.charge.tokens)
        left = permit.charge.tokens - charged_tokens
        if permit.settled is None:
            self._table.settle(permit, charged_tokens, cancelled=cancelled)
            (CANCELLED if cancelled else SETTLED).inc()
            SETTLED_BACK_TOKENS.inc(left)
            self._give_back(permit, Charge(permit.charge.requests if cancelled else 0, left))
        elif permit.settled != (charged_tokens, cancelled):
            raise PermitUnknown
        return left

    def expire(self) -> int:
        """End the permits whose time is over; return how many had not been settled. Their reservations go back."""
        orphans = self._table.expire(self._clock())
        for permit in orphans:
            EXPIRED_BACK_TOKENS.inc(permit.charge.tokens)
            self._give_back(permit, permit.charge)
        EXPIRED.inc(len(orphans))
        return len(orphans)

    async def run(self) -> None:
        """Expire permits in time, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            self.expire()

    def _quota_now(self, tenant_id: str) -> TenantQuota:
        quota = self._tenants.now(tenant_id)
        self._require_inside(tenant_id)
        return quota

    def _earlier(self, wish: AdmitWish) -> Permit | None:
        permit = self._table.of_request(wish.tenant_id, wish.request_id)
        if permit is None:
            return None
        if permit.ends_at_s <= self._clock():
            self.expire()
            return None
        if permit.charge != wish.charge:
            raise RequestIdReused
        return permit

    def _permit(self, wish: AdmitWish, tier: str, key: str, spent: Spent) -> Permit:
        self._made += 1
        return Permit(
            f"{self._mark}.{self._made:x}",
            wish.tenant_id,
            wish.request_id,
            key,
            tier,
            wish.charge,
            spent,
            self._clock() + self._ttl_s,
            self._wall_clock() + self._ttl_s,
        )

    def _give_back(self, permit: Permit, unused: Charge) -> None:
        """Put back what was not used; where the lease that it came from is gone, at the authority."""
        accepted = self._holder.refund(permit.tenant_id, unused, key=permit.key, spent=permit.spent)
        if accepted != unused and permit.spent.source is TokenSource.AUTHORITY:
            self._holder.give_back(permit.tenant_id, unused.less(accepted), key=permit.key)
