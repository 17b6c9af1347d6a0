"""What is held for one tenant. Plain state with the time given by the caller; no I/O."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import Final

from trunkline_lease.options import LeaseOptions
from trunkline_lease.safe_share import SafeShare
from trunkline_lease.spent import Spent, TokenSource

CAP_GROWTH: Final = 2
"""An ask may be this many times what the last one got."""
UNKNOWN_DELAY_S: Final = 1.0
"""Taken where a refusal does not say when to ask again."""


@dataclass(slots=True)
class _Chunk:
    """Tokens of one grant that are still unspent."""

    expires_at_s: float
    tokens: int
    spent: Spent
    """What a spender of these tokens is told; shared, so that spending allocates nothing."""


class TenantLease:
    """Tokens of one tenant, its recent rate, and what its last refusal said.

    Laws: what was spent, less what was refunded, never exceeds what was granted; a refund never exceeds what was
    spent; tokens past their expiry are neither spent nor given back.
    """

    __slots__ = (
        "_cap_tokens",
        "_chunks",
        "_last_expiry_s",
        "_last_spent",
        "_options",
        "_rate_tokens_per_s",
        "_refused_at_s",
        "_refused_rate_tokens_per_s",
        "_since_s",
        "_spent_since",
        "_unrefunded",
        "ask_not_before_s",
        "held_tokens",
        "low_water_tokens",
        "rank",
        "refill",
        "safe",
        "tenant_id",
        "waiters",
        "waiting_tokens",
    )

    def __init__(self, tenant_id: str, options: LeaseOptions, now_s: float) -> None:
        """Hold nothing yet."""
        self.tenant_id = tenant_id
        self.held_tokens = 0
        self.low_water_tokens = 1
        self.rank: int | None = None
        self.refill: asyncio.Future[None] | None = None
        """Resolved when the ask under way is answered or lost; None while none is."""
        self.waiters = 0
        self.waiting_tokens = 0
        self.ask_not_before_s = now_s
        self.safe: SafeShare | None = None
        self._options = options
        self._chunks: deque[_Chunk] = deque()
        self._last_expiry_s = now_s
        self._last_spent = Spent(options.safe_rank, TokenSource.AUTHORITY)
        self._unrefunded = 0
        self._cap_tokens = options.max_ask_tokens
        self._rate_tokens_per_s = 0.0
        self._spent_since = 0
        self._since_s = now_s
        self._refused_at_s: float | None = None
        self._refused_rate_tokens_per_s = 0.0

    def spend(self, tokens: int, now_s: float) -> Spent | None:
        """Spend `tokens` of what is held, oldest first; None, and nothing spent, if that is not enough."""
        if self.held_tokens < tokens:
            return None
        chunk = self._chunks[0]
        if chunk.tokens < tokens or chunk.expires_at_s <= now_s:
            return self._spend_across(tokens, now_s)
        chunk.tokens -= tokens
        self._note_spent(tokens)
        return chunk.spent

    def grant(self, tokens: int, expires_at_s: float, spent: Spent) -> None:
        """Add tokens of a new grant, spendable before `expires_at_s`."""
        self.rank = spent.rank
        self._last_spent = spent
        self._last_expiry_s = max(self._last_expiry_s, expires_at_s)
        self._chunks.append(_Chunk(expires_at_s, tokens, spent))
        self.held_tokens += tokens
        self.low_water_tokens = max(1, int(self.held_tokens * self._options.low_water))

    def refund(self, tokens: int, now_s: float) -> int:
        """Take back up to `tokens` that were spent and not used; return how many were accepted.

        They count as part of the last grant: once that is void, so are they.
        """
        accepted = min(tokens, self._unrefunded)
        self._unrefunded -= accepted
        if accepted and self._last_expiry_s > now_s:
            self.held_tokens += accepted
            if self._chunks and self._chunks[-1].expires_at_s == self._last_expiry_s:
                self._chunks[-1].tokens += accepted
            else:
                self._chunks.append(_Chunk(self._last_expiry_s, accepted, self._last_spent))
        return accepted

    def withdraw(self, now_s: float, expiring_before_s: float = math.inf) -> int:
        """Remove held tokens that expire before `expiring_before_s`; return how many still live and can go back."""
        self._drop_expired(now_s)
        kept = deque(chunk for chunk in self._chunks if chunk.expires_at_s >= expiring_before_s)
        tokens = sum(chunk.tokens for chunk in self._chunks) - sum(chunk.tokens for chunk in kept)
        self._chunks = kept
        self.held_tokens -= tokens
        return tokens

    def ask_tokens(self, now_s: float) -> int:
        """Return what the next ask should want: the recent rate over the horizon, or what spenders wait for.

        Measures the rate since the last ask; it follows a rise at once and a fall by half each time. After an answer
        that fell short it starts small again and grows with each full one.
        """
        options = self._options
        elapsed_s = max(now_s - self._since_s, options.rate_floor_s)
        measured = self._spent_since / elapsed_s
        self._rate_tokens_per_s = max(measured, (measured + self._rate_tokens_per_s) / 2)
        self._spent_since, self._since_s = 0, now_s
        target = math.ceil(self._rate_tokens_per_s * options.horizon_s)
        wanted = min(self._cap_tokens, max(target, options.first_ask_tokens))
        return min(options.max_ask_tokens, max(wanted, self._missing_tokens()))

    def note_answer(self, wanted: int, granted: int, retry_delay_s: float | None, now_s: float) -> None:
        """Remember how the authority answered an ask, so that a flood costs no calls.

        A refusal of more than was needed says little: its delay is that of a full bucket, if the ask exceeded that. It
        is not remembered, and the next ask is for what is needed alone.
        """
        self._refused_at_s = None
        if granted >= wanted:
            self._cap_tokens = min(self._options.max_ask_tokens, max(self._cap_tokens, wanted * CAP_GROWTH))
            return
        self._cap_tokens = granted * CAP_GROWTH
        self.ask_not_before_s = now_s + self._options.ask_pace_s
        if granted == 0 and wanted <= self._missing_tokens():
            self._refused_at_s = now_s
            self._refused_rate_tokens_per_s = wanted / (retry_delay_s or UNKNOWN_DELAY_S)

    def refused_for_s(self, tokens: int, now_s: float) -> float:
        """Return how long asking for `tokens` is pointless by the last refusal; 0.0 if it is not.

        The refusal said when all that was wanted is back; buckets refill linearly, so less is back sooner.
        """
        if self._refused_at_s is None:
            return 0.0
        missing = max(0, tokens - self.held_tokens)
        delay_s = max(self._options.ask_pace_s, missing / self._refused_rate_tokens_per_s)
        return max(0.0, self._refused_at_s + delay_s - now_s)

    def idle(self) -> bool:
        """Return True if nobody waits and no ask is under way, so that the lease may be evicted."""
        return self.waiters == 0 and self.refill is None

    def _missing_tokens(self) -> int:
        """Return what those who wait lack; at least one, so that an ask wants something."""
        return max(1, self.waiting_tokens - self.held_tokens)

    def _spend_across(self, tokens: int, now_s: float) -> Spent | None:
        self._drop_expired(now_s)
        if self.held_tokens < tokens:
            return None
        left, told = tokens, self._chunks[0].spent
        while left:
            chunk = self._chunks[0]
            taken = min(left, chunk.tokens)
            chunk.tokens -= taken
            left -= taken
            if told.source is not TokenSource.LOCAL:
                told = chunk.spent  # a share of LOCAL tokens makes the whole LOCAL: nothing is degraded in silence
            if chunk.tokens == 0:
                self._chunks.popleft()
        self._note_spent(tokens)
        return told

    def _note_spent(self, tokens: int) -> None:
        self.held_tokens -= tokens
        self._spent_since += tokens
        self._unrefunded += tokens

    def _drop_expired(self, now_s: float) -> None:
        """Forget tokens that are void, and chunks that are used up. Few: one for each grant that is still valid."""
        self._chunks = deque(chunk for chunk in self._chunks if chunk.tokens and chunk.expires_at_s > now_s)
        self.held_tokens = sum(chunk.tokens for chunk in self._chunks)
