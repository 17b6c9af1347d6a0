"""Tenants that wait for something to be done: each once, in the order in which they came, later after a failure."""

from __future__ import annotations

import asyncio
import heapq
from collections import OrderedDict
from typing import Final

from trunkline_mesh.clock import MONOTONIC, Clock

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 600.0


class WorkQueue:
    """A queue of distinct tenants, and so no longer than there are tenants."""

    def __init__(self, clock: Clock = MONOTONIC) -> None:
        """Start empty."""
        self._clock = clock
        self._ready: OrderedDict[str, None] = OrderedDict()
        self._due: list[tuple[float, str]] = []
        self._failures: dict[str, int] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """How many wait, those that failed included."""
        return len(self._ready) + len(self._due)

    def add(self, tenant_id: str) -> None:
        """Put a tenant at the end, unless it waits; something of it has changed, so an earlier failure is forgotten."""
        self._failures.pop(tenant_id, None)
        self._ready.setdefault(tenant_id)
        self._changed.set()

    def failed(self, tenant_id: str) -> float:
        """Let a tenant come again after a pause that doubles with every failure; return its seconds."""
        failures = self._failures[tenant_id] = self._failures.get(tenant_id, 0) + 1
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(failures - 1, 16))
        heapq.heappush(self._due, (self._clock() + pause_s, tenant_id))
        self._changed.set()
        return pause_s

    def done(self, tenant_id: str) -> None:
        """Forget a tenant's failures."""
        self._failures.pop(tenant_id, None)

    async def next(self) -> str:
        """Wait for the next tenant and take it out."""
        while True:
            self._changed.clear()
            self._ripen()
            if self._ready:
                return self._ready.popitem(last=False)[0]
            pause_s = self._due[0][0] - self._clock() if self._due else None
            try:
                async with asyncio.timeout(pause_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _ripen(self) -> None:
        now_s = self._clock()
        while self._due and self._due[0][0] <= now_s:
            _, tenant_id = heapq.heappop(self._due)
            if tenant_id in self._failures:  # else something changed meanwhile and it came at once
                self._ready.setdefault(tenant_id)
