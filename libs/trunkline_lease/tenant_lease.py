"""What is held for one tenant, or for one of its credentials. Plain state with the time given by the caller; no I/O."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from trunkline_lease.advance import Advance
from trunkline_lease.asks import Answer, Ask
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.chunks import Chunks
from trunkline_lease.demand import Demand
from trunkline_lease.last_refusal import UNKNOWN, LastRefusal
from trunkline_lease.options import LeaseOptions
from trunkline_lease.refused import Refused
from trunkline_lease.safe_share import SafeShare
from trunkline_lease.spent import Spent, TokenSource


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a lease gave to be passed on."""

    charge: Charge
    """NOTHING if there was not some of each that was wanted."""
    spent: Spent | None = None
    """Of the grant that it came from; None for nothing, and for what was drawn in advance."""
    refused: Refused | None = None
    """Why there is nothing, where the one who grants has said so lately."""


class TenantLease:
    """Quota of one tenant, its recent rates, and what its last refusal said.

    Laws, for requests and for tokens: what was spent, less what was refunded, never exceeds what was granted; a refund
    never exceeds what was spent; what is past its expiry is neither spent nor returned by itself.
    """

    __slots__ = (
        "_last_refusal",
        "_low_requests",
        "_low_tokens",
        "_options",
        "_refunded_requests",
        "_refunded_tokens",
        "_requests_demand",
        "_since_s",
        "_spent_requests",
        "_spent_tokens",
        "_tokens_demand",
        "_unmet",
        "advance",
        "ask_not_before_s",
        "chunks",
        "key",
        "name",
        "rank",
        "refill",
        "safe",
        "tenant_id",
        "waiters",
        "waiting_requests",
        "waiting_tokens",
    )

    def __init__(self, tenant_id: str, options: LeaseOptions, now_s: float, *, key: str = "") -> None:
        """Hold nothing yet."""
        self.tenant_id = tenant_id
        self.key = key
        self.name = lease_name(tenant_id, key)
        self.chunks = Chunks(Spent(options.safe_rank, TokenSource.AUTHORITY), now_s)
        self.rank: int | None = None
        self.refill: asyncio.Future[None] | None = None
        """Resolved when the ask under way is answered or lost; None while none is."""
        self.waiters = 0
        self.waiting_requests = 0
        self.waiting_tokens = 0
        self.ask_not_before_s = now_s
        self.safe: SafeShare | None = None
        self.advance = Advance()
        self._options = options
        self._low_requests = self._low_tokens = 1
        self._spent_requests = self._spent_tokens = 0
        self._refunded_requests = self._refunded_tokens = 0
        self._requests_demand = Demand(first=options.first_ask_requests, most=options.max_ask)
        self._tokens_demand = Demand(first=options.first_ask_tokens, most=options.max_ask)
        self._since_s = now_s
        self._last_refusal: LastRefusal | None = None
        self._unmet = NOTHING

    @property
    def held(self) -> Charge:
        """What is at hand; what expired unseen is still counted."""
        return Charge(self.chunks.requests, self.chunks.tokens)

    def low(self) -> bool:
        """Return True if it is time to ask for more."""
        return self.chunks.requests < self._low_requests or self.chunks.tokens < self._low_tokens

    def spend(self, requests: int, tokens: int, now_s: float) -> Spent | None:
        """Spend both, oldest grants first; None, and nothing spent, if one is not covered. At least one is not 0."""
        spent = self.chunks.take(requests, tokens, now_s)
        if spent is not None:
            self._spent_requests += requests
            self._spent_tokens += tokens
        return spent

    def grant(self, granted: Charge, expires_at_s: float, spent: Spent) -> None:
        """Add a new grant, spendable before `expires_at_s`."""
        self.rank = spent.rank
        self.chunks.add(granted, expires_at_s, spent)
        self._unmet = NOTHING
        self._set_low_water()

    def draw(self, wanted: Charge, now_s: float) -> Drawn | None:
        """Spend up to `wanted`; None, and nothing spent, if there is nothing of one that is wanted."""
        self.chunks.drop_expired(now_s)
        charge = wanted.at_most(self.held)
        if not charge or _lacks(wanted, charge):
            self._unmet = wanted.less(charge)
            return None
        spent = self.spend(charge.requests, charge.tokens, now_s)
        self._unmet = NOTHING
        return None if spent is None else Drawn(charge, spent)

    def draw_ahead(self, wanted: Charge, limit: Charge) -> Charge:
        """Spend up to `wanted` before it is granted, and at most so that `limit` is out; NOTHING as in `draw`."""
        charge = wanted.at_most(self.advance.room(limit))
        if _lacks(wanted, charge):
            return NOTHING
        self.note_advance(charge)
        return charge

    def note_advance(self, charge: Charge) -> None:
        """Count what was spent before it was granted; it may be refunded like all that was spent."""
        self.advance.give(charge)
        self._spent_requests += charge.requests
        self._spent_tokens += charge.tokens

    def refund(self, charge: Charge, now_s: float) -> tuple[Charge, Charge]:
        """Take back up to `charge` that was spent and not used.

        Returns what was accepted, and what of it cannot be spent here any more, because the last grant is void: that
        goes back to the authority.
        """
        accepted = Charge(
            min(charge.requests, self._spent_requests - self._refunded_requests),
            min(charge.tokens, self._spent_tokens - self._refunded_tokens),
        )
        self._refunded_requests += accepted.requests
        self._refunded_tokens += accepted.tokens
        return accepted, NOTHING if self.chunks.restore(accepted, now_s) else accepted

    def withdraw(self, now_s: float, expiring_before_s: float = math.inf) -> Charge:
        """Remove what expires before `expiring_before_s`; return how much of it still lives and can go back."""
        return self.chunks.withdraw(now_s, expiring_before_s)

    def ask(self, now_s: float) -> Charge:
        """Return what the next ask should want: the recent rate over the horizon, or what spenders wait for.

        Measures the rates since the last ask. NOTHING means that what is held is enough after all; the low water is
        lowered then.
        """
        self.chunks.drop_expired(now_s)
        elapsed_s = max(now_s - self._since_s, self._options.rate_floor_s)
        self._since_s = now_s
        missing = self.missing()
        requests = self._requests_demand.wanted(
            spent=self._spent_requests,
            held=self.chunks.requests,
            missing=missing.requests,
            elapsed_s=elapsed_s,
            horizon_s=self._options.horizon_s,
        )
        tokens = self._tokens_demand.wanted(
            spent=self._spent_tokens,
            held=self.chunks.tokens,
            missing=missing.tokens,
            elapsed_s=elapsed_s,
            horizon_s=self._options.horizon_s,
        )
        if requests or tokens:
            return Charge(requests, tokens)
        if self.waiters:
            return Charge(1, 1)  # they wait for what has expired meanwhile
        self._set_low_water()
        return NOTHING

    def note_answer(self, ask: Ask, answer: Answer, now_s: float) -> None:
        """Remember how the authority answered an ask, so that a flood costs no calls.

        A refusal of more than was needed says little: its delay is that of a full bucket, if the ask exceeded that. It
        is not remembered, and the next ask is for what is needed alone.
        """
        self._requests_demand.note(wanted=ask.wanted.requests, granted=answer.granted.requests)
        self._tokens_demand.note(wanted=ask.wanted.tokens, granted=answer.granted.tokens)
        self._last_refusal = None
        if ask.wanted.within(answer.granted):
            return
        self.ask_not_before_s = now_s + self._options.ask_pace_s
        if not answer.granted and ask.wanted.within(self.missing()):
            self._last_refusal = LastRefusal(answer.refused or UNKNOWN, ask.wanted, now_s)

    def refusal(self, requests: int, tokens: int, now_s: float) -> Refused | None:
        """Return the refusal that makes asking for this much pointless now, with the delay that is left of it."""
        last, chunks = self._last_refusal, self.chunks
        if last is None:
            return None
        return last.believed(requests - chunks.requests, tokens - chunks.tokens, now_s, self._options)

    def standing_refusal(self, requests: int, tokens: int, now_s: float) -> Refused | None:
        """Return the refusal that was the last answer, as `refusal`, but until its own delay is over.

        For while nobody answers: asking again would help, and cannot be done.
        """
        last, chunks = self._last_refusal, self.chunks
        if last is None:
            return None
        return last.standing(requests - chunks.requests, tokens - chunks.tokens, now_s, self._options)

    def missing(self) -> Charge:
        """Return what those who wait lack, or what the last draw lacked."""
        return Charge(
            max(self._unmet.requests, self.waiting_requests - self.chunks.requests),
            max(self._unmet.tokens, self.waiting_tokens - self.chunks.tokens),
        )

    def idle(self) -> bool:
        """Return True if nobody waits and no ask is under way, so that the lease may be evicted."""
        return self.waiters == 0 and self.refill is None

    def _set_low_water(self) -> None:
        self._low_requests = max(1, int(self.chunks.requests * self._options.low_water))
        self._low_tokens = max(1, int(self.chunks.tokens * self._options.low_water))


def lease_name(tenant_id: str, key: str) -> str:
    """Return the name under which a lease is kept. Ids hold no control characters, so two never share one."""
    return f"{tenant_id}\0{key}" if key else tenant_id


def _lacks(wanted: Charge, given: Charge) -> bool:
    """Return True if one that is wanted is not given at all: requests without tokens help nobody."""
    return bool((wanted.requests and not given.requests) or (wanted.tokens and not given.tokens))
