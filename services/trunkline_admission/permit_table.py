"""The permits of a replica: by id, by request, and in the order of their end. Bounded, in all and for each tenant."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from trunkline_admission.lease_metrics import CROWDED_OUT
from trunkline_lease.charge import Charge
from trunkline_lease.spent import Spent

MAX_REMEMBERED: Final = 20_000
"""Permits that ended unsettled and are still told apart from those that never were."""

TENANT_PART: Final = 10
"""One tenant has at most the table's size divided by this, so that nobody fills it for all others."""

MIN_TENANT_PERMITS: Final = 100
"""And never less than this, however small the table is."""


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


@dataclass(slots=True)
class _Shelf:
    """Permits of one tenant: open ones in the order they were made, settled ones in the order they were settled."""

    open: OrderedDict[str, Permit] = field(default_factory=OrderedDict)
    settled: OrderedDict[str, Permit] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self.open) + len(self.settled)


class PermitTable:
    """At most `max_permits` permits, and of one tenant a tenth of that, at least 100.

    All live equally long, so the oldest one ends first. Where one more needs room, settled ones go first: nothing is
    lost with them but that repeats are known. Beyond its part a tenant makes room itself. All takes constant time.
    """

    def __init__(self, max_permits: int, *, max_remembered: int = MAX_REMEMBERED) -> None:
        """Hold none yet, and remember `max_remembered` that ended unsettled."""
        self._max_permits = max_permits
        self._max_tenant_permits = max(MIN_TENANT_PERMITS, max_permits // TENANT_PART)
        self._max_remembered = max_remembered
        # Ordered, because a plain dict looks for its first entry past all that were deleted before it.
        self._by_id: OrderedDict[str, Permit] = OrderedDict()
        self._by_request: dict[tuple[str, str], Permit] = {}
        self._settled: OrderedDict[str, Permit] = OrderedDict()
        self._shelves: dict[str, _Shelf] = {}
        self._expired: OrderedDict[str, str] = OrderedDict()
        self.get = self._by_id.get
        """Return the permit of an id, if there is one; bound once, because every request asks."""

    def __len__(self) -> int:
        return len(self._by_id)

    def of_request(self, tenant_id: str, request_id: str) -> Permit | None:
        """Return the permit that a request has, if it has one."""
        return self._by_request.get((tenant_id, request_id))

    def add(self, permit: Permit) -> Permit:
        """Keep a new permit and return it; another one makes room if there is none."""
        shelf = self._shelves.get(permit.tenant_id)
        if shelf is not None and len(shelf) >= self._max_tenant_permits:
            self._crowd_out(shelf.settled or shelf.open)
        elif len(self._by_id) >= self._max_permits:
            self._crowd_out(self._settled or self._by_id)
        self._by_id[permit.permit_id] = permit
        self._by_request[permit.tenant_id, permit.request_id] = permit
        shelf = self._shelves.get(permit.tenant_id)  # once more: the one that made room may have been its last
        if shelf is None:
            shelf = self._shelves[permit.tenant_id] = _Shelf()
        shelf.open[permit.permit_id] = permit
        return permit

    def settle(self, permit: Permit, charged_tokens: int, *, cancelled: bool) -> None:
        """Note how a permit of this table, open until now, was settled."""
        permit.settled = (charged_tokens, cancelled)
        shelf = self._shelves[permit.tenant_id]
        del shelf.open[permit.permit_id]
        shelf.settled[permit.permit_id] = self._settled[permit.permit_id] = permit

    def expire(self, now_s: float) -> list[Permit]:
        """Forget every permit whose time is over; return those that had not been settled."""
        orphans = []
        while self._by_id:
            permit = next(iter(self._by_id.values()))
            if permit.ends_at_s > now_s:
                break
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

    def _crowd_out(self, permits: OrderedDict[str, Permit]) -> None:
        """Forget the first one of `permits`."""
        crowded = next(iter(permits.values()))
        self._forget(crowded)
        CROWDED_OUT.inc(crowded.settled is None)

    def _forget(self, permit: Permit) -> None:
        del self._by_id[permit.permit_id]
        name = (permit.tenant_id, permit.request_id)
        if self._by_request.get(name) is permit:
            del self._by_request[name]
        shelf = self._shelves[permit.tenant_id]
        if permit.settled is None:
            del shelf.open[permit.permit_id]
        else:
            del shelf.settled[permit.permit_id], self._settled[permit.permit_id]
        if not shelf:
            del self._shelves[permit.tenant_id]
