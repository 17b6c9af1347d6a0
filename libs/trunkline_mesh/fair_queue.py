"""Start-time fair queueing among tenants: who is served next, and who is pushed out of a full queue.

The order is that of Goyal, Vin and Cheng, "Start-time Fair Queueing" (SIGCOMM 1996): each tenant has a virtual finish
time that advances only when its work is dispatched, by cost divided by weight; a tenant that comes back from idling
starts at the current virtual time, so that idling saves no credit. Between two tenants that both keep waiting, the
difference of cost/weight served never exceeds the sum of their largest single cost/weight.

This module knows no time and no asyncio; `limiter` adds both.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final, Generic, Protocol, TypeVar


class Entry(Protocol):
    """What can wait. Entries are compared by identity."""

    tenant: str
    cost: int
    """Work in units, at least 1."""
    weight: float
    """Share of the capacity relative to other entries, above 0."""


E = TypeVar("E", bound=Entry)

_HEAP_SLACK: Final = 64
"""Abandoned places that the heap may hold beyond twice the tenants known, before it is compacted."""


class _Flow(Generic[E]):
    """One tenant's waiting entries, oldest first, and its place in virtual time."""

    __slots__ = ("backlog", "entries", "finish", "order", "queued_in_heap", "start", "tenant", "weight")

    def __init__(self, tenant: str, order: int) -> None:
        self.tenant = tenant
        self.order = order
        self.entries: OrderedDict[int, E] = OrderedDict()
        self.backlog = 0.0  # cost/weight of what waits
        self.weight = 0.0  # of the newest entry
        self.start = 0.0
        self.finish = 0.0
        self.queued_in_heap = False


def _end(flow: _Flow[E], newest: bool) -> E:
    return next(reversed(flow.entries.values())) if newest else next(iter(flow.entries.values()))


class FairQueue(Generic[E]):
    """A queue with one line for each tenant. Every operation is O(log tenants), except a push-out: O(tenants)."""

    def __init__(self, *, max_idle_tenants: int = 1024) -> None:
        """Remember the virtual finish time of at most `max_idle_tenants` tenants that wait for nothing."""
        self._flows: dict[str, _Flow[E]] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._max_idle: Final = max_idle_tenants
        self._heap: list[tuple[float, int, _Flow[E]]] = []
        self._virtual = 0.0
        self._order = 0
        self._length = 0
        self._cost = 0
        self._weight = 0.0  # of all waiting flows

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[E]:
        for flow in self._flows.values():
            yield from flow.entries.values()

    @property
    def cost(self) -> int:
        """Units that wait in all."""
        return self._cost

    @property
    def waiting_tenants(self) -> int:
        """Tenants with at least one entry."""
        return len(self._flows) - len(self._idle)

    def length_of(self, tenant: str) -> int:
        """Return how many entries of the tenant wait."""
        flow = self._flows.get(tenant)
        return len(flow.entries) if flow else 0

    def cost_of(self, tenant: str) -> int:
        """Return the units that wait of the tenant."""
        flow = self._flows.get(tenant)
        return sum(entry.cost for entry in flow.entries.values()) if flow else 0

    def costs(self) -> Iterator[tuple[str, int]]:
        """Yield tenants that wait, with their units. O(all that wait)."""
        for tenant, flow in self._flows.items():
            if flow.entries:
                yield tenant, sum(entry.cost for entry in flow.entries.values())

    def cost_ahead(self, tenant: str, cost: int, weight: float) -> float:
        """Estimate the units that are served before and with a new entry of `cost` and `weight` of `tenant`.

        Until the entry is served, every waiting tenant gets its weight's share for each unit of virtual time; more
        than everything that waits cannot be ahead of it.
        """
        flow = self._flows.get(tenant)
        virtual, others = cost / weight, self._weight
        if flow is not None:
            virtual += flow.backlog + max(0.0, flow.finish - self._virtual)
            others -= flow.weight if flow.entries else 0.0
        return min(float(self._cost + cost), virtual * (others + weight))

    def push(self, entry: E) -> None:
        """Add an entry at the end of its tenant's line."""
        flow = self._flows.get(entry.tenant)
        if flow is None:
            self._order += 1
            flow = self._flows[entry.tenant] = _Flow(entry.tenant, self._order)
        else:
            self._idle.pop(entry.tenant, None)
        if flow.entries:
            self._weight -= flow.weight
        flow.weight = entry.weight
        self._weight += entry.weight
        flow.entries[id(entry)] = entry
        flow.backlog += entry.cost / entry.weight
        self._length += 1
        self._cost += entry.cost
        if not flow.queued_in_heap:
            self._schedule(flow)

    def peek(self, *, newest: bool = False) -> E | None:
        """Return the entry to be served next without taking it; None if nobody waits.

        `newest` begins at the end of the tenant's line; whose line it is does not depend on it.
        """
        flow = self._next_flow()
        return _end(flow, newest) if flow else None

    def pop(self, *, newest: bool = False) -> E:
        """Take the entry that `peek` returns and charge its tenant. Raises IndexError if nobody waits."""
        flow = self._next_flow()
        if flow is None:
            raise IndexError("pop from an empty fair queue")
        heapq.heappop(self._heap)
        flow.queued_in_heap = False
        entry = _end(flow, newest)
        self._virtual = max(self._virtual, flow.start)
        flow.finish = flow.start + entry.cost / entry.weight
        if len(flow.entries) > 1:
            self._schedule(flow)
        self._take_out(flow, entry)
        return entry

    def discard(self, entry: E) -> bool:
        """Remove a waiting entry without charging its tenant; False if it does not wait here."""
        flow = self._flows.get(entry.tenant)
        if flow is None or id(entry) not in flow.entries:
            return False
        self._take_out(flow, entry)
        return True

    def most_overdrawn(self, tenant: str, cost: int, weight: float) -> E | None:
        """Return the newest entry of the tenant that would be served last, if a newcomer would be served before it.

        The newcomer would be an entry of `cost` and `weight` of `tenant`. None means that nobody waits who has less
        right to wait. Lower ranks and tenants with long lines are thus pushed out first.
        """
        own = self._flows.get(tenant)
        latest = self._virtual + cost / weight
        if own is not None:
            start = own.start if own.entries else max(self._virtual, own.finish)
            latest = start + own.backlog + cost / weight
        return self._last_beyond(latest, own)

    def last(self) -> E | None:
        """Return the newest entry of the tenant that would be served last; None if nobody waits."""
        return self._last_beyond(-math.inf, None)

    def _last_beyond(self, latest: float, exempt: _Flow[E] | None) -> E | None:
        victim: _Flow[E] | None = None
        for flow in self._flows.values():
            if not flow.entries or flow is exempt:
                continue
            place = flow.start + flow.backlog
            if place > latest or (victim is not None and place == latest):  # of equals, who came last
                victim, latest = flow, place
        return _end(victim, newest=True) if victim else None

    def _schedule(self, flow: _Flow[E]) -> None:
        flow.start = max(self._virtual, flow.finish)
        flow.queued_in_heap = True
        if len(self._heap) > 2 * len(self._flows) + _HEAP_SLACK:
            self._compact()
        heapq.heappush(self._heap, (flow.start, flow.order, flow))

    def _next_flow(self) -> _Flow[E] | None:
        """Return the waiting flow with the earliest start, dropping flows whose entries have all left."""
        while self._heap:
            flow = self._heap[0][2]
            if flow.entries:
                return flow
            heapq.heappop(self._heap)
            flow.queued_in_heap = False
        return None

    def _compact(self) -> None:
        """Drop flows whose entries have all left: those who come and go could fill the heap between two pops."""
        stale = [item[2] for item in self._heap if not item[2].entries]
        self._heap = [item for item in self._heap if item[2].entries]
        heapq.heapify(self._heap)
        for flow in stale:
            flow.queued_in_heap = False

    def _take_out(self, flow: _Flow[E], entry: E) -> None:
        del flow.entries[id(entry)]
        self._length -= 1
        self._cost -= entry.cost
        flow.backlog = flow.backlog - entry.cost / entry.weight if flow.entries else 0.0
        if self._length == 0:
            self._forget_everything()
        elif not flow.entries:
            self._weight -= flow.weight
            self._rest(flow)

    def _rest(self, flow: _Flow[E]) -> None:
        """Keep an idle tenant's finish time while it lies in the future: leaving and coming back wipes no debt."""
        if flow.finish <= self._virtual:
            del self._flows[flow.tenant]
            return
        self._idle[flow.tenant] = None
        if len(self._idle) > self._max_idle:
            oldest, _ = self._idle.popitem(last=False)
            del self._flows[oldest]

    def _forget_everything(self) -> None:
        """Begin a new busy period: with nobody waiting there is nothing to be fair about."""
        self._flows.clear()
        self._idle.clear()
        self._heap.clear()
        self._virtual = self._weight = 0.0
