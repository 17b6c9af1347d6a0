"""The permits of a replica: by id, by request, and in the order of their end. Bounded."""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import Final

from trunkline_admission.lease_metrics import CROWDED_OUT
from trunkline_lease.charge import Charge
from trunkline_lease.spent import Spent

MAX_REMEMBERED: Final = 20_000
"""Permits that ended unsettled and are still told apart from those that never were."""


@dataclass(slots=True)
class Permit:
    """What one request got."""

    permit_id: str
    tenant_id: str
    request_id: str
    key: str
    tier: str
    charge: Charge
    """Reserved."""
    spent: Spent
    ends_at_s: float
    """In the replica's monotonic time."""
    expires_at_s: float
    """Unix time, for the caller."""
    settled: tuple[int, bool] | None = None
    """Charged tokens, and whether it was cancelled; None until it is settled."""


class PermitTable:
    """At most `max_permits` permits. All live equally long, so the oldest one ends first."""

    def __init__(self, max_permits: int, *, max_remembered: int = MAX_REMEMBERED) -> None:
        """Hold none yet, and remember `max_remembered` that ended unsettled."""
        self._max_permits = max_permits
        self._max_remembered = max_remembered
        self._by_id: dict[str, Permit] = {}
        self._by_request: dict[tuple[str, str], Permit] = {}
        self._order: deque[Permit] = deque()
        self._expired: OrderedDict[str, str] = OrderedDict()
        self.get = self._by_id.get
        """Return the permit of an id, if there is one; bound once, because every request asks."""

    def __len__(self) -> int:
        return len(self._by_id)

    def of_request(self, tenant_id: str, request_id: str) -> Permit | None:
        """Return the permit that a request has, if it has one."""
        return self._by_request.get((tenant_id, request_id))

    def add(self, permit: Permit) -> Permit:
        """Keep a new permit and return it; the oldest one makes room."""
        if len(self._order) >= self._max_permits:
            crowded = self._order.popleft()
            self._forget(crowded)
            CROWDED_OUT.inc(crowded.settled is None)
        self._by_id[permit.permit_id] = permit
        self._by_request[permit.tenant_id, permit.request_id] = permit
        self._order.append(permit)
        return permit

    def expire(self, now_s: float) -> list[Permit]:
        """Forget every permit whose time is over; return those that had not been settled."""
        orphans = []
        while self._order and self._order[0].ends_at_s <= now_s:
            permit = self._order.popleft()
            self._forget(permit)
            if permit.settled is None:
                orphans.append(permit)
                self._expired[permit.permit_id] = permit.tenant_id
        while len(self._expired) > self._max_remembered:
            self._expired.popitem(last=False)
        return orphans

    def expired_lately(self, permit_id: str, tenant_id: str) -> bool:
        """Return True for a permit of the tenant that ended unsettled not long ago."""
        return self._expired.get(permit_id) == tenant_id

    def _forget(self, permit: Permit) -> None:
        del self._by_id[permit.permit_id]
        name = (permit.tenant_id, permit.request_id)
        if self._by_request.get(name) is permit:
            del self._by_request[name]
