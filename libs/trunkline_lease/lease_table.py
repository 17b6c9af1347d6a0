"""The tenants a holder has leases for: bounded, least recently used first, and when their tokens near their end."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from trunkline_lease.options import LeaseOptions
from trunkline_lease.tenant_lease import TenantLease

EVICTION_SCAN: Final = 64
"""Least recently used tenants looked at for one that may be evicted."""


class LeaseTable:
    """At most `max_tenants` leases by tenant."""

    def __init__(self, options: LeaseOptions) -> None:
        """Hold no tenant yet."""
        self._options = options
        self._leases: OrderedDict[str, TenantLease] = OrderedDict()
        self._due: list[tuple[float, str]] = []
        """A heap of when a grant nears its end, with its tenant: one entry for each grant that is still valid."""

    def __iter__(self) -> Iterator[TenantLease]:
        return iter(self._leases.values())

    def __len__(self) -> int:
        return len(self._leases)

    def get(self, tenant_id: str) -> TenantLease | None:
        """Return the tenant's lease, if there is one."""
        return self._leases.get(tenant_id)

    def touch(self, tenant_id: str) -> None:
        """Make the tenant the most recently used one."""
        self._leases.move_to_end(tenant_id)

    def full(self) -> bool:
        """Return True if one must go before another tenant may come."""
        return len(self._leases) >= self._options.max_tenants

    def add(self, tenant_id: str, now_s: float) -> TenantLease:
        """Make a lease that holds nothing."""
        lease = self._leases[tenant_id] = TenantLease(tenant_id, self._options, now_s)
        return lease

    def evict(self) -> TenantLease | None:
        """Remove and return the least recently used idle lease; None if the oldest ones are all in use."""
        for _, lease in zip(range(EVICTION_SCAN), self._leases.values(), strict=False):
            if lease.idle():
                return self._leases.pop(lease.tenant_id)
        return None

    def clear(self) -> None:
        """Forget every tenant."""
        self._leases.clear()
        self._due.clear()

    def expect_end(self, tenant_id: str, expires_at_s: float) -> None:
        """Remember to look at the tenant some time before a grant of its ends."""
        heapq.heappush(self._due, (expires_at_s - self._options.return_margin_s, tenant_id))

    def near_end(self, now_s: float) -> Iterator[TenantLease]:
        """Yield the leases that have tokens near their end, each as often as it has such grants."""
        while self._due and self._due[0][0] <= now_s:
            _, tenant_id = heapq.heappop(self._due)
            lease = self._leases.get(tenant_id)
            if lease is not None:
                yield lease
