"""Grants that are still unspent, in the order of their end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from trunkline_lease.charge import Charge
from trunkline_lease.spent import Spent, TokenSource


@dataclass(slots=True)
class _Chunk:
    """What is left of one grant."""

    expires_at_s: float
    requests: int
    tokens: int
    spent: Spent
    """What a spender of it is told; shared, so that spending allocates nothing."""


class Chunks:
    """Requests and tokens of several grants, each with its end. One for each grant that is still valid, so few.

    The sums may still count what has expired, until the next look at it.
    """

    __slots__ = ("_chunks", "_last_expiry_s", "_last_spent", "requests", "tokens")

    def __init__(self, spent: Spent, now_s: float) -> None:
        """Hold nothing; `spent` is what refunds are worth before the first grant."""
        self.requests = 0
        self.tokens = 0
        self._chunks: deque[_Chunk] = deque()
        self._last_expiry_s = now_s
        self._last_spent = spent

    def add(self, granted: Charge, expires_at_s: float, spent: Spent) -> None:
        """Add a grant."""
        chunk = _Chunk(expires_at_s, granted.requests, granted.tokens, spent)
        if self._chunks and self._chunks[-1].expires_at_s > expires_at_s:
            self._chunks.append(chunk)
            self._chunks = deque(sorted(self._chunks, key=lambda each: each.expires_at_s))  # rare: a shorter life
        else:
            self._chunks.append(chunk)
        self._last_spent = spent
        self._last_expiry_s = max(self._last_expiry_s, expires_at_s)
        self.requests += granted.requests
        self.tokens += granted.tokens

    def take(self, requests: int, tokens: int, now_s: float) -> Spent | None:
        """Take both, soonest end first; None, and nothing taken, if one is not covered.

        A share of LOCAL quota makes the whole LOCAL: nothing is degraded in silence.
        """
        if self.requests < requests or self.tokens < tokens or not self._chunks:
            return None
        chunk = self._chunks[0]
        if chunk.requests < requests or chunk.tokens < tokens or chunk.expires_at_s <= now_s:
            return self._take_across(requests, tokens, now_s)
        chunk.requests -= requests
        chunk.tokens -= tokens
        self.requests -= requests
        self.tokens -= tokens
        return chunk.spent

    def restore(self, charge: Charge, now_s: float) -> bool:
        """Add to the last grant what was taken and not used; False, and nothing added, if that grant is void."""
        if not charge:
            return True
        if self._last_expiry_s <= now_s:
            return False
        if self._chunks and self._chunks[-1].expires_at_s == self._last_expiry_s:
            self._chunks[-1].requests += charge.requests
            self._chunks[-1].tokens += charge.tokens
        else:
            self._chunks.append(_Chunk(self._last_expiry_s, charge.requests, charge.tokens, self._last_spent))
        self.requests += charge.requests
        self.tokens += charge.tokens
        return True

    def withdraw(self, now_s: float, expiring_before_s: float) -> Charge:
        """Remove what expires before `expiring_before_s`; return how much of it still lives."""
        self.drop_expired(now_s)
        requests = tokens = 0
        while self._chunks and self._chunks[0].expires_at_s < expiring_before_s:
            chunk = self._chunks.popleft()
            requests += chunk.requests
            tokens += chunk.tokens
        self.requests -= requests
        self.tokens -= tokens
        return Charge(requests, tokens)

    def drop_expired(self, now_s: float) -> None:
        """Forget what is void, and grants that are used up."""
        chunks = self._chunks
        while chunks and (chunks[0].expires_at_s <= now_s or not (chunks[0].requests or chunks[0].tokens)):
            chunk = chunks.popleft()
            self.requests -= chunk.requests
            self.tokens -= chunk.tokens

    def _take_across(self, requests: int, tokens: int, now_s: float) -> Spent | None:
        self.drop_expired(now_s)
        if self.requests < requests or self.tokens < tokens:
            return None
        told: Spent | None = None
        left_requests, left_tokens = requests, tokens
        for chunk in self._chunks:
            taken_requests, taken_tokens = min(left_requests, chunk.requests), min(left_tokens, chunk.tokens)
            if not (taken_requests or taken_tokens):
                continue
            chunk.requests -= taken_requests
            chunk.tokens -= taken_tokens
            left_requests -= taken_requests
            left_tokens -= taken_tokens
            if told is None or told.source is not TokenSource.LOCAL:
                told = chunk.spent
            if not (left_requests or left_tokens):
                break
        self.requests -= requests
        self.tokens -= tokens
        return told
