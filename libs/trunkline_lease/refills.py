"""Keeps leases filled: asks for what is low, pools what is granted, gives back what idles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from trunkline_lease.asks import Answer, Ask, AskKeeper, Asks
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.lease_table import LeaseTable
from trunkline_lease.limit_bounds import BoundsOf, within
from trunkline_lease.options import LeaseOptions
from trunkline_lease.stats import LeaseStats
from trunkline_lease.tenant_lease import TenantLease
from trunkline_mesh.clock import Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded

TIMEOUTS_TO_DOUBT: Final = 2
"""Refills in a row that took too long, with no answer of any kind between them, until nobody waits any more. One alone
is a pause of this process or of the one who grants, and no reason to send all tenants to their safe share."""


class Refills:
    """The leases of a holder and the asks for them; an `AskKeeper`. At most one refill of a lease is under way."""

    def __init__(
        self, open_asks: Callable[[AskKeeper], Asks], options: LeaseOptions, clock: Clock, bounds_of: BoundsOf
    ) -> None:
        """Hold nothing yet. Nothing is asked for at once that exceeds the bounds: more would never be there."""
        self._bounds_of = bounds_of
        self.stats = LeaseStats()
        self.leases = LeaseTable(options)
        self._options = options
        self._most = Charge(options.max_ask, options.max_ask)
        self._clock = clock
        self._asks = open_asks(self)
        self._under_way = 0
        """Asks that want something and are not answered yet."""
        self._timeouts = 0
        """Waits that took too long, those that overlap counted once."""
        self._timeouts_at_answer = 0
        """The same, as of the last answer."""
        self._closing = False

    @property
    def healthy(self) -> bool:
        """True while it is worth waiting for an answer."""
        return self._asks.healthy

    async def refilled(self, lease: TenantLease, now_s: float, deadline: Deadline) -> bool:
        """Wait for the refill under way, or a new one; False if there is no answer in time.

        `TIMEOUTS_TO_DOUBT` waits of the full patience, each begun after the last had ended, put the asks in doubt.
        """
        refill = self.ask_for_more(lease, now_s)
        if refill is None or not self._asks.healthy:
            return False
        patience_s = self._options.refill_timeout_s
        wait_s = min(patience_s, deadline.remaining_s() * self._options.deadline_part)
        timeouts = self._timeouts
        # Not wait_for: others wait for the same future, and the answer is pooled even if this spender gives up.
        await asyncio.wait((refill,), timeout=wait_s)
        if refill.done():
            return self._asks.healthy
        if wait_s >= patience_s and self._timeouts == timeouts:
            self._timeouts += 1
            if self._timeouts - self._timeouts_at_answer >= TIMEOUTS_TO_DOUBT:
                self._asks.doubt()
        return False

    def ask_for_more(self, lease: TenantLease, now_s: float) -> asyncio.Future[None] | None:
        """Return the refill under way, sending the ask if there is none; None if none is sent."""
        if lease.refill is None and not self._closing and (self._asks.healthy or self._asks.connected):
            wanted = within(self._bounds_of(lease.tenant_id, lease.key), lease.ask(now_s))
            booked = lease.advance.book(self._most)
            if not (wanted or booked):
                return None
            ask = Ask(lease.tenant_id, wanted or Charge(1, 1), now_s, key=lease.key, advanced=booked)
            if self._asks.send(ask):
                self.stats.asks += 1
                self._under_way += 1
                lease.refill = asyncio.get_running_loop().create_future()
            else:
                lease.advance.unbook(booked)
        return lease.refill

    def _end_refill(self, lease: TenantLease) -> None:
        if lease.refill is not None and not lease.refill.done():
            lease.refill.set_result(None)
        lease.refill = None

    def lease_of(self, tenant_id: str, key: str) -> TenantLease:
        """Return a lease, most recently used; make room for it if it is new. Raises Overloaded if there is none."""
        lease = self.leases.find(tenant_id, key)
        if lease is not None:
            self.leases.touch(lease.name)
            return lease
        if self.leases.full():
            evicted = self.leases.evict()
            if evicted is None:
                raise Overloaded(retry_delay_s=self._options.refill_timeout_s)
            self.give_back_all(evicted, evicted.withdraw(self._clock()))
            self.stats.evictions += 1
        return self.leases.add(tenant_id, key, self._clock())

    def give_back_all(self, lease: TenantLease, held: Charge) -> None:
        """Send what a lease held back, and what it had not booked yet along with it."""
        booked = lease.advance.book(self._most)
        if not self.give_back(lease.tenant_id, lease.key, held, booked):
            lease.advance.unbook(booked)

    def give_back(self, tenant_id: str, key: str, unused: Charge, advanced: Charge = NOTHING) -> bool:
        """Send quota back; False if nothing is sent. It is void then: the authority's clock gives it back in time."""
        if not (unused or advanced) or not self._asks.connected:
            return False
        bounded = unused.at_most(self._most)
        if not self._asks.send(Ask(tenant_id, NOTHING, self._clock(), bounded, key, advanced)):
            return False
        self.stats.requests_returned += bounded.requests
        self.stats.tokens_returned += bounded.tokens
        return True

    async def _sweep(self) -> None:
        """Look after the asks, and give quota back before it is void: an idle tenant's is not lost to it."""
        while True:
            await asyncio.sleep(self._options.sweep_interval_s)
            self._asks.give_up_if_stuck()
            now_s = self._clock()
            near_s = now_s + self._options.return_margin_s + self._options.sweep_interval_s
            for lease in self.leases.near_end(now_s):
                self.give_back_all(lease, lease.withdraw(now_s, near_s))

    async def run(self) -> None:
        """Keep asking possible and return quota near its end; ends with `return_all` or by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._sweep())
            await self._asks.run()
            sweeping.cancel()

    def return_all(self) -> None:
        """Send everything held back and ask no more: the first half of closing.

        What is granted by answers that are still under way goes back, too, before the way of asking is ended.
        """
        self._closing = True
        now_s = self._clock()
        for lease in self.leases:
            self._end_refill(lease)
            self.give_back_all(lease, lease.withdraw(now_s))
        self.leases.clear()
        self._finish_if_done()

    def answered(self, ask: Ask, answer: Answer) -> None:
        """Take the answer to an ask (part of `AskKeeper`)."""
        self._timeouts_at_answer = self._timeouts
        lease = self.leases.find(ask.tenant_id, ask.key)
        if lease is None:
            self.give_back(ask.tenant_id, ask.key, answer.granted)  # closing
        else:
            self._pool(lease, ask, answer)
        self._ended(ask)

    def _pool(self, lease: TenantLease, ask: Ask, answer: Answer) -> None:
        now_s = self._clock()
        if answer.granted:
            expires_at_s = ask.asked_at_s + answer.valid_s
            lease.grant(answer.granted, expires_at_s, answer.spent)
            lease.advance.covered(answer.granted)
            self.leases.expect_end(lease, expires_at_s)
        if ask.wanted:
            lease.note_answer(ask, answer, now_s)
            self._end_refill(lease)
        if lease.advance.unbooked:
            self.give_back_all(lease, NOTHING)  # drawn after the ask had left

    def lost(self, asks: Sequence[Ask]) -> None:
        """Wake those who wait for asks that will not be answered (part of `AskKeeper`)."""
        self.stats.asks_lost += len(asks)
        for ask in asks:
            lease = self.leases.find(ask.tenant_id, ask.key)
            if lease is not None:
                lease.advance.unbook(ask.advanced)
                if ask.wanted:
                    self._end_refill(lease)
            self._ended(ask)

    def _ended(self, ask: Ask) -> None:
        if ask.wanted:
            self._under_way -= 1
        self._finish_if_done()

    def _finish_if_done(self) -> None:
        if self._closing and self._under_way <= 0:
            self._asks.finish()
