"""How much one caller, and one tenant, may say: what keeps a single caller from drowning out all others."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeVar

from trunkline_lease.bucket import TokenBucket
from trunkline_mesh.clock import MONOTONIC, Clock

CALLER_PER_MINUTE: Final = 60
"""Feedback of one caller, in one router: so many at once, and so many a minute."""
TENANT_PER_MINUTE: Final = 600
"""The same for all callers of one tenant together: ten callers that say all that they may."""
MAX_REMEMBERED: Final = 65_536
"""Callers, tenants and decisions that one router remembers; the least recently heard are forgotten."""

K = TypeVar("K")

_MINUTE_S: Final = 60.0


class FeedbackLimits:
    """Token buckets by caller and by tenant, and which decisions callers have spoken of. In memory, for one router."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Know nobody yet."""
        self._clock = clock
        self._callers: OrderedDict[tuple[str, str], TokenBucket] = OrderedDict()
        self._tenants: OrderedDict[str, TokenBucket] = OrderedDict()
        self._heard: OrderedDict[tuple[str, str, str], None] = OrderedDict()

    def wait_s(self, tenant_id: str, caller: str) -> float:
        """Take one from both buckets and return 0; or take none and return the seconds to come back after.

        The caller's own bucket is asked first: whoever has said enough takes nothing from the tenant's other callers.
        """
        now_s = self._clock()
        own = _bucket(self._callers, (tenant_id, caller), CALLER_PER_MINUTE, now_s)
        wait_s = own.take(1, now_s) or 0.0
        if wait_s:
            return wait_s
        wait_s = _bucket(self._tenants, tenant_id, TENANT_PER_MINUTE, now_s).take(1, now_s) or 0.0
        if wait_s:
            own.give_back(1)
        return wait_s

    def heard_before(self, tenant_id: str, caller: str, decision: str) -> bool:
        """Return True if the caller has spoken of the decision before; from now on it has."""
        key = (tenant_id, caller, decision)
        known = key in self._heard
        self._heard[key] = None
        self._heard.move_to_end(key)
        if len(self._heard) > MAX_REMEMBERED:
            self._heard.popitem(last=False)
        return known


def _bucket(known: OrderedDict[K, TokenBucket], key: K, per_minute: int, now_s: float) -> TokenBucket:
    bucket = known.get(key)
    if bucket is None:
        bucket = known[key] = TokenBucket(per_minute / _MINUTE_S, per_minute, now_s)
        if len(known) > MAX_REMEMBERED:
            known.popitem(last=False)
    known.move_to_end(key)
    return bucket
