"""The lease holder: most spends are answered from quota at hand, without a call and without waiting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from trunkline_lease.asks import AskKeeper, Asks
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.limit_bounds import BoundsOf, never_fits, no_bounds
from trunkline_lease.options import LeaseOptions
from trunkline_lease.refills import Refills
from trunkline_lease.refused import Refused
from trunkline_lease.safe_share import SafeOf, SafeShare, same_for_all
from trunkline_lease.spent import Spent, TokenSource
from trunkline_lease.tenant_lease import Drawn, TenantLease
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded

MAX_ROUNDS: Final = 4
"""Refills that one spender waits for at most: one under way that others use up, one that falls short, one that is
refused for asking too much, one that says for how long."""


class LeaseHolder:
    """Spends requests and tokens of many tenants from leases. One event loop; not for several threads.

    A `key` is the subject of a credential that has limits of its own: it has a lease of its own, too. While the one who
    grants is away each lease has a safe share: small rates of its own, source LOCAL. What was
    granted before is spent first.
    """

    def __init__(
        self,
        open_asks: Callable[[AskKeeper], Asks],
        options: LeaseOptions,
        clock: Clock = MONOTONIC,
        *,
        safe_of: SafeOf | None = None,
        bounds_of: BoundsOf = no_bounds,
    ) -> None:
        """Hold nothing yet, and ask through what `open_asks` makes for this holder.

        `safe_of` gives each tenant its safe share; without it all have that of the options. `bounds_of` tells what
        never fits into a tenant's limits; without it only the one who grants can say so. `open_lease_holder` is the
        usual way to make one over gRPC.
        """
        self._safe_of = safe_of or same_for_all(options)
        self._options = options
        self._clock = clock
        self._bounds_of = bounds_of
        self._refills = Refills(open_asks, options, clock, bounds_of)
        self._leases = self._refills.leases
        self.stats = self._refills.stats

    @property
    def healthy(self) -> bool:
        """False while the one who grants is away and refills come from the safe mode."""
        return self._refills.healthy

    def held(self, tenant_id: str, *, key: str = "") -> Charge:
        """Return what is at hand for a tenant; what expired unseen is still counted."""
        lease = self._leases.find(tenant_id, key)
        return lease.held if lease is not None else NOTHING

    def try_spend(self, tenant_id: str, charge: Charge, key: str = "") -> Spent | None:
        """Spend from what is at hand, without waiting; None, and nothing spent, if that is not enough.

        About 2 us. What is low is asked for in the background. `charge` is not NOTHING and at most 10,000 of each.
        """
        # Written out rather than through `find` and `touch`: each call costs a tenth of it.
        lease = self._leases.get(f"{tenant_id}\0{key}" if key else tenant_id)
        if lease is None:
            return None
        now_s = self._clock()
        spent = lease.spend(charge.requests, charge.tokens, now_s)
        if spent is None:
            return None
        self._leases.touch(lease.name)
        if lease.low() and now_s >= lease.ask_not_before_s:
            self._refills.ask_for_more(lease, now_s)
        return spent

    async def spend(self, tenant_id: str, charge: Charge, deadline: Deadline, *, key: str = "") -> Spent:
        """Spend all of `charge` (not NOTHING, at most 10,000 of each); usually at once, else after one refill.

        Waits at most `refill_timeout_s` and half of the deadline. Raises QuotaExhausted, with the time until enough is
        back, `scope`, `period` and `unit` where they are known, or without a time and with the `limit` where it never
        fits; Overloaded if too many spenders wait already, and while
        the one who grants does not answer where the safe mode has nothing for it: nobody has said then that its quota
        is used up. Only a refusal that was the last answer for it, and whose time is not over, stays one.
        """
        if not charge or max(charge.requests, charge.tokens) > self._options.max_ask:
            raise ValueError(f"a spend is something, and at most {self._options.max_ask} of each: {charge}")
        spent = self.try_spend(tenant_id, charge, key)
        return spent if spent is not None else await self._spend_slowly(tenant_id, key, charge, deadline)

    def refund(self, tenant_id: str, charge: Charge, *, key: str = "", spent: Spent | None = None) -> Charge:
        """Give back what was spent and not used; return what was accepted: never more than was spent.

        It goes back to where `spent`, which `spend` returned, came from. Without it the safe share is offered it first,
        as far as that has not been refunded, so that what nobody granted never reaches the one who grants. What exceeds
        that, or belongs to a lease that was evicted since, is void. Where the last grant is void by now, it goes back
        to the one who grants.
        """
        lease = self._leases.find(tenant_id, key)
        if lease is None or not charge:
            return NOTHING
        kept = NOTHING
        if lease.safe is not None and (spent is None or spent.safe):
            kept = lease.safe.refund(charge)
        if kept == charge or (spent is not None and spent.safe):
            return kept
        accepted, homeless = lease.refund(charge.less(kept), self._clock())
        self._refills.give_back(lease.tenant_id, lease.key, homeless)
        return kept + accepted

    def give_back(self, tenant_id: str, charge: Charge, *, key: str = "") -> None:
        """Send to the one who grants what was spent here through a lease that is gone, and not used."""
        self._refills.give_back(tenant_id, key, charge)

    def draw(self, tenant_id: str, wanted: Charge, *, key: str = "", advance: Charge = NOTHING) -> Drawn:
        """Spend up to `wanted` to pass it on, without waiting; asks for more in the background.

        Takes as much as is at hand of both. Where that is nothing of one that is wanted, and no refusal is remembered,
        it draws in advance, so that at most `advance` is out that no grant has covered; that is booked with the ask.
        Raises Overloaded where no lease can make room.
        """
        now_s = self._clock()
        lease = self._refills.lease_of(tenant_id, key)
        drawn = lease.draw(wanted, now_s)
        if drawn is not None:
            if lease.low() and now_s >= lease.ask_not_before_s:
                self._refills.ask_for_more(lease, now_s)
            return drawn
        refused = lease.refusal(wanted.requests, wanted.tokens, now_s)
        if refused is not None:
            return Drawn(NOTHING, refused=refused)
        given = lease.draw_ahead(wanted, advance)
        self.stats.advances += given.requests
        if now_s >= lease.ask_not_before_s:
            self._refills.ask_for_more(lease, now_s)
        return Drawn(given)

    def note_advance(self, tenant_id: str, charge: Charge, *, key: str = "") -> None:
        """Have something booked that was spent elsewhere before it was granted. Raises Overloaded as `draw`."""
        lease = self._refills.lease_of(tenant_id, key)
        lease.note_advance(charge)
        self._refills.ask_for_more(lease, self._clock())

    async def run(self) -> None:
        """Keep asking possible and return quota near its end; ends with `return_all` or by cancellation."""
        await self._refills.run()

    def return_all(self) -> None:
        """Send everything held back and ask no more: the first half of closing."""
        self._refills.return_all()

    async def _spend_slowly(self, tenant_id: str, key: str, charge: Charge, deadline: Deadline) -> Spent:
        never = never_fits(self._bounds_of(tenant_id, key), charge)
        if never is not None:
            self._refuse(never)
        lease = self._refills.lease_of(tenant_id, key)
        if lease.waiters >= self._options.max_waiters_per_tenant:
            raise Overloaded(retry_delay_s=self._options.refill_timeout_s)
        lease.waiters += 1
        lease.waiting_requests += charge.requests
        lease.waiting_tokens += charge.tokens
        try:
            for rounds_left in range(MAX_ROUNDS, -1, -1):
                now_s = self._clock()
                spent = lease.spend(charge.requests, charge.tokens, now_s)
                if spent is not None:
                    return spent
                refused = lease.refusal(charge.requests, charge.tokens, now_s)
                if refused is not None or rounds_left == 0:
                    self._refuse((refused or Refused(self._options.ask_pace_s)).of(charge))
                if not await self._refills.refilled(lease, now_s, deadline):
                    break
            return self._spend_safely(lease, charge)
        finally:
            lease.waiters -= 1
            lease.waiting_requests -= charge.requests
            lease.waiting_tokens -= charge.tokens

    def _spend_safely(self, lease: TenantLease, charge: Charge) -> Spent:
        """Spend from the safe share; raise what `spend` says if there is none, or not enough in it."""
        now_s = self._clock()
        limits = self._safe_of(lease.tenant_id, lease.key)
        if lease.safe is None or lease.safe.limits != limits:
            lease.safe = SafeShare(limits, now_s)
        if lease.safe.spend(charge, now_s):
            self.stats.safe_spends += 1
            return Spent(lease.rank if lease.rank is not None else limits.rank, TokenSource.LOCAL, safe=True)
        refused = lease.standing_refusal(charge.requests, charge.tokens, now_s)
        if refused is not None:
            self._refuse(refused.of(charge))
        raise lease.safe.limits.refusal(charge, self._options.refill_timeout_s)

    def _refuse(self, refused: Refused) -> NoReturn:
        self.stats.refusals += 1
        raise refused.error()
