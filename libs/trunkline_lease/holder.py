"""The lease holder: most spends are answered from tokens at hand, without a call and without waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease.lease_table import LeaseTable
from trunkline_lease.options import LeaseOptions
from trunkline_lease.safe_share import SafeShare
from trunkline_lease.spent import Spent, TokenSource
from trunkline_lease.stats import LeaseStats
from trunkline_lease.stream import Ask, LeaseCall, LeaseStream
from trunkline_lease.tenant_lease import TenantLease
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, QuotaExhausted

MAX_ROUNDS: Final = 4
"""Refills that one spender waits for at most: one under way that others use up, one that falls short, one that is
refused for asking too much, one that says for how long."""


class LeaseHolder:
    """Spends tokens of many tenants from leases of one admission service. One event loop; not for several threads.

    While the service is away each tenant has the safe mode of `LeaseOptions`: a small rate of its own, source LOCAL.
    Tokens that were granted before are spent first.
    """

    def __init__(self, open_call: Callable[[], LeaseCall], options: LeaseOptions, clock: Clock = MONOTONIC) -> None:
        """Hold nothing yet; `open_lease_holder` is the usual way to make one."""
        self.stats = LeaseStats()
        self._options = options
        self._clock = clock
        self._leases = LeaseTable(options)
        self._stream = LeaseStream(open_call, self, options, clock)

    @property
    def healthy(self) -> bool:
        """False while the admission service is away and refills come from the safe mode."""
        return self._stream.healthy

    def held_tokens(self, tenant_id: str) -> int:
        """Return the tokens at hand for a tenant; tokens that expired unseen are still counted."""
        lease = self._leases.get(tenant_id)
        return lease.held_tokens if lease is not None else 0

    async def spend(self, tenant_id: str, tokens: int, deadline: Deadline) -> Spent:
        """Spend `tokens` (1 to 10,000) of a tenant; usually at once, else after one refill.

        Waits at most `refill_timeout_s` and half of the deadline. Raises QuotaExhausted, with the time until enough
        tokens are back where it is known; Overloaded if too many spenders wait already.
        """
        if tokens < 1:
            raise ValueError("at least one token is spent")
        lease = self._leases.get(tenant_id)
        if lease is not None:
            now_s = self._clock()
            spent = lease.spend(tokens, now_s)
            if spent is not None:
                self._leases.touch(tenant_id)
                if lease.held_tokens < lease.low_water_tokens and now_s >= lease.ask_not_before_s:
                    self._ask_for_more(lease, now_s)
                return spent
        return await self._spend_slowly(tenant_id, tokens, deadline)

    def refund(self, tenant_id: str, tokens: int) -> int:
        """Give back tokens that were spent and not used; return how many were accepted: never more than were spent.

        What exceeds that, or belongs to a tenant that was evicted since, is void.
        """
        if tokens < 0:
            raise ValueError("a refund is not negative")
        lease = self._leases.get(tenant_id)
        if lease is None or tokens == 0:
            return 0
        accepted = lease.refund(tokens, self._clock())
        if accepted < tokens and lease.safe is not None:
            accepted += lease.safe.refund(tokens - accepted)
        return accepted

    async def run(self) -> None:
        """Keep the stream and return tokens near their end; ends with `close` or by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            sweeping = tasks.create_task(self._sweep())
            await self._stream.run()
            sweeping.cancel()

    def return_all(self) -> None:
        """Send every held token back and open no stream any more: the first half of closing."""
        now_s = self._clock()
        for lease in self._leases:
            self._end_refill(lease)
            self._return(lease.tenant_id, lease.withdraw(now_s))
        self._leases.clear()
        self._stream.finish()

    def answered(self, ask: Ask, response: admission_pb.LeaseResponse) -> None:
        """Take the stream's answer to an ask (part of `AskKeeper`)."""
        now_s = self._clock()
        lease = self._leases.get(ask.tenant_id)
        if lease is None:
            self._return(ask.tenant_id, response.granted_tokens)  # evicted meanwhile
            return
        if response.granted_tokens > 0:
            expires_at_s = ask.asked_at_s + response.valid_duration.ToTimedelta().total_seconds()
            local = response.source == admission_pb.QUOTA_SOURCE_LOCAL
            spent = Spent(response.rank, TokenSource.LOCAL if local else TokenSource.AUTHORITY)
            lease.grant(response.granted_tokens, expires_at_s, spent)
            self._leases.expect_end(ask.tenant_id, expires_at_s)
        if ask.wanted_tokens > 0:
            delay = response.retry_delay.ToTimedelta().total_seconds() if response.HasField("retry_delay") else None
            lease.note_answer(ask.wanted_tokens, response.granted_tokens, delay, now_s)
            self._end_refill(lease)

    def lost(self, asks: Sequence[Ask]) -> None:
        """Wake those who wait for asks that will not be answered (part of `AskKeeper`)."""
        self.stats.asks_lost += len(asks)
        for ask in asks:
            lease = self._leases.get(ask.tenant_id)
            if lease is not None and ask.wanted_tokens > 0:
                self._end_refill(lease)

    async def _spend_slowly(self, tenant_id: str, tokens: int, deadline: Deadline) -> Spent:
        lease = self._lease_of(tenant_id)
        if lease.waiters >= self._options.max_waiters_per_tenant:
            raise Overloaded(retry_delay_s=self._options.refill_timeout_s)
        lease.waiters += 1
        lease.waiting_tokens += tokens
        try:
            for rounds_left in range(MAX_ROUNDS, -1, -1):
                now_s = self._clock()
                spent = lease.spend(tokens, now_s)
                if spent is not None:
                    return spent
                refused_for_s = lease.refused_for_s(tokens, now_s)
                if refused_for_s > 0 or rounds_left == 0:
                    raise self._refusal(refused_for_s or self._options.ask_pace_s)
                if not await self._refilled(lease, now_s, deadline):
                    break
            return self._spend_safely(lease, tokens)
        finally:
            lease.waiters -= 1
            lease.waiting_tokens -= tokens

    async def _refilled(self, lease: TenantLease, now_s: float, deadline: Deadline) -> bool:
        """Wait for the refill under way, or a new one; False if there is no answer in time."""
        refill = self._ask_for_more(lease, now_s)
        if refill is None or not self._stream.healthy:
            return False
        patience_s = self._options.refill_timeout_s
        wait_s = min(patience_s, deadline.remaining_s() * self._options.deadline_part)
        # Not wait_for: others wait for the same future, and the answer is pooled even if this spender gives up.
        await asyncio.wait((refill,), timeout=wait_s)
        if refill.done():
            return self._stream.healthy
        if wait_s >= patience_s:
            self._stream.doubt()
        return False

    def _spend_safely(self, lease: TenantLease, tokens: int) -> Spent:
        """Spend from the tenant's safe share; raise QuotaExhausted if that is empty too."""
        now_s = self._clock()
        if lease.safe is None:
            lease.safe = SafeShare(self._options, now_s)
        delay_s = lease.safe.spend(tokens, now_s)
        if delay_s != 0.0:
            raise self._refusal(delay_s)
        self.stats.safe_spends += 1
        return Spent(lease.rank if lease.rank is not None else self._options.safe_rank, TokenSource.LOCAL)

    def _refusal(self, delay_s: float | None) -> QuotaExhausted:
        self.stats.refusals += 1
        return QuotaExhausted(retry_delay_s=delay_s)

    def _ask_for_more(self, lease: TenantLease, now_s: float) -> asyncio.Future[None] | None:
        """Return the refill under way, sending the ask if there is none; None if it cannot be sent."""
        if lease.refill is None and (self._stream.healthy or self._stream.connected):
            ask = Ask(lease.tenant_id, lease.ask_tokens(now_s), 0, now_s)
            if self._stream.send(ask):
                self.stats.asks += 1
                lease.refill = asyncio.get_running_loop().create_future()
        return lease.refill

    def _end_refill(self, lease: TenantLease) -> None:
        if lease.refill is not None and not lease.refill.done():
            lease.refill.set_result(None)
        lease.refill = None

    def _lease_of(self, tenant_id: str) -> TenantLease:
        """Return the tenant's lease, most recently used; make room for it if it is new."""
        lease = self._leases.get(tenant_id)
        if lease is not None:
            self._leases.touch(tenant_id)
            return lease
        if self._leases.full():
            self._evict_one()
        return self._leases.add(tenant_id, self._clock())

    def _evict_one(self) -> None:
        lease = self._leases.evict()
        if lease is None:
            raise Overloaded(retry_delay_s=self._options.refill_timeout_s)
        self._return(lease.tenant_id, lease.withdraw(self._clock()))
        self.stats.evictions += 1

    def _return(self, tenant_id: str, tokens: int) -> None:
        """Send tokens back. If no stream is open they are void: the authority's clock gives them back in time."""
        if tokens > 0 and self._stream.connected:
            bounded = min(tokens, self._options.max_ask_tokens)
            if self._stream.send(Ask(tenant_id, 0, bounded, self._clock())):
                self.stats.tokens_returned += bounded

    async def _sweep(self) -> None:
        """End a stuck stream, and give tokens back before they are void: an idle tenant's quota is not lost to it."""
        while True:
            await asyncio.sleep(self._options.sweep_interval_s)
            self._stream.give_up_if_stuck()
            now_s = self._clock()
            near_s = now_s + self._options.return_margin_s + self._options.sweep_interval_s
            for lease in self._leases.near_end(now_s):
                self._return(lease.tenant_id, lease.withdraw(now_s, near_s))
