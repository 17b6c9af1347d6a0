"""How much one tenant may have noted of what costs it nothing: refusals go to the disk that usage journals share."""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import Final

from trunkline_lease.bucket import TokenBucket
from trunkline_mesh import metrics
from trunkline_mesh.clock import Clock

TENANT_PER_S: Final = 20.0
TENANT_BURST: Final = 200.0
"""Refusals of one tenant that are noted."""
STRANGERS_PER_S: Final = 100.0
STRANGERS_BURST: Final = 1000.0
"""Refusals of calls without a verified credential that are noted, all together; anybody can cause these."""
MAX_TENANTS: Final = 4096
"""Tenants that are told apart; one that was not heard of for longest begins anew."""

_LEFT_OUT = metrics.counter("search_audit_left_out", "Refusals that were counted and not noted, beyond a bound.")


class NoteBounds:
    """A token bucket for each tenant, and one for all calls without any. For one event loop."""

    def __init__(self, *, max_tenants: int = MAX_TENANTS, clock: Clock = time.monotonic) -> None:
        """Begin with every bucket full."""
        self._max_tenants: Final = max_tenants
        self._clock: Final = clock
        self._tenants: OrderedDict[str, TokenBucket] = OrderedDict()
        self._strangers: Final = TokenBucket(STRANGERS_PER_S, STRANGERS_BURST, clock())

    def may_note(self, who: str) -> bool:
        """Return True if one more line may be written of a verified tenant or caller; of strangers if it is empty.

        A line that may not is counted in `trunkline_search_audit_left_out`.
        """
        now_s = self._clock()
        if self._bucket(who, now_s).take(1, now_s) == 0.0:
            return True
        _LEFT_OUT.inc()
        return False

    def _bucket(self, who: str, now_s: float) -> TokenBucket:
        if not who:
            return self._strangers
        bucket = self._tenants.get(who)
        if bucket is None:
            bucket = self._tenants[who] = TokenBucket(TENANT_PER_S, TENANT_BURST, now_s)
            if len(self._tenants) > self._max_tenants:
                self._tenants.popitem(last=False)
        else:
            self._tenants.move_to_end(who)
        return bucket
