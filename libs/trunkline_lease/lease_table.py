"""The leases of a holder: bounded, least recently used first, and when their quota nears its end."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from trunkline_lease.options import LeaseOptions
from trunkline_lease.tenant_lease import TenantLease, lease_name

EVICTION_SCAN: Final = 64
"""Least recently used leases looked at for one that may be evicted."""


class LeaseTable:
    """At most `max_tenants` leases by their name."""

    def __init__(self, options: LeaseOptions) -> None:
        """Hold no lease yet."""
        self._options = options
        self._leases: OrderedDict[str, TenantLease] = OrderedDict()
        self._due: list[tuple[float, str]] = []
        """A heap of when a grant nears its end, with its lease: one entry for each grant that is still valid."""
        self.get = self._leases.get
        """Return the lease of a name, if there is one; bound once, because every spend asks."""
        self.touch = self._leases.move_to_end
        """Make a lease the most recently used one."""

    def __iter__(self) -> Iterator[TenantLease]:
        return iter(self._leases.values())

    def __len__(self) -> int:
        return len(self._leases)

    def full(self) -> bool:
        """Return True if one must go before another may come."""
        return len(self._leases) >= self._options.max_tenants

    def add(self, tenant_id: str, key: str, now_s: float) -> TenantLease:
        """Make a lease that holds nothing."""
        lease = TenantLease(tenant_id, self._options, now_s, key=key)
        self._leases[lease.name] = lease
        return lease

    def find(self, tenant_id: str, key: str) -> TenantLease | None:
        """Return the lease of a tenant, or of one of its credentials."""
        return self._leases.get(lease_name(tenant_id, key))

    def evict(self) -> TenantLease | None:
        """Remove and return the least recently used idle lease; None if the oldest ones are all in use."""
        for _, lease in zip(range(EVICTION_SCAN), self._leases.values(), strict=False):
            if lease.idle():
                return self._leases.pop(lease.name)
        return None

    def clear(self) -> None:
        """Forget every lease."""
        self._leases.clear()
        self._due.clear()

    def expect_end(self, lease: TenantLease, expires_at_s: float) -> None:
        """Remember to look at a lease some time before a grant of its ends."""
        heapq.heappush(self._due, (expires_at_s - self._options.return_margin_s, lease.name))

    def near_end(self, now_s: float) -> Iterator[TenantLease]:
        """Yield the leases that have quota near its end, each as often as it has such grants."""
        while self._due and self._due[0][0] <= now_s:
            _, name = heapq.heappop(self._due)
            lease = self._leases.get(name)
            if lease is not None:
                yield lease
