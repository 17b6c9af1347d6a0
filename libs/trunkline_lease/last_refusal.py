"""The last refusal of a lease, and how long it makes asking again pointless. Plain state; times are the caller's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from trunkline_lease.charge import Charge
from trunkline_lease.options import LeaseOptions
from trunkline_lease.refused import Refused

UNKNOWN_DELAY_S: Final = 1.0
"""Taken where a refusal does not say when to ask again."""
UNKNOWN: Final = Refused(UNKNOWN_DELAY_S)


@dataclass(frozen=True, slots=True)
class LastRefusal:
    """What was refused, when, and how it was told."""

    refused: Refused
    wanted: Charge
    at_s: float

    def standing(
        self, missing_requests: int, missing_tokens: int, now_s: float, options: LeaseOptions
    ) -> Refused | None:
        """Return the refusal, with the delay that is left of it, for one who lacks so much; None once it is over.

        It said when all that was wanted is back. Buckets refill linearly, so less is back sooner; a day's or month's
        limit is not back before its end. It stands for at least `ask_pace_s`.
        """
        return self._told(missing_requests, missing_tokens, now_s, options.ask_pace_s, math.inf)

    def believed(
        self, missing_requests: int, missing_tokens: int, now_s: float, options: LeaseOptions
    ) -> Refused | None:
        """Return as `standing`, but None after `recheck_s`, for then it is worth asking again."""
        return self._told(missing_requests, missing_tokens, now_s, options.ask_pace_s, options.recheck_s)

    def _told(self, requests: int, tokens: int, now_s: float, least_s: float, most_s: float) -> Refused | None:
        told_s, part = self.refused.retry_delay_s, self._part(requests, tokens)
        delay_s = UNKNOWN_DELAY_S if told_s is None else told_s
        if self.refused.refills:
            delay_s *= part
        delay_s = max(least_s, delay_s)
        if now_s >= self.at_s + min(delay_s, most_s):
            return None
        # That all which was wanted is never there says nothing of one who lacks less.
        return self.refused.after(None if told_s is None and part >= 1.0 else self.at_s + delay_s - now_s)

    def _part(self, requests: int, tokens: int) -> float:
        """Return which part of the refused wish this much is, by the currency that lacks most."""
        part = requests / self.wanted.requests if self.wanted.requests else 0.0
        if self.wanted.tokens:
            part = max(part, tokens / self.wanted.tokens)
        return max(0.0, part)
