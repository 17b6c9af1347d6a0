"""Asks for the same thing at the same time are answered by one computation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from trunkline_mesh.errors import BackendTimeout, DeadlineExceeded

K = TypeVar("K")
V = TypeVar("V")

Compute = Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]


class _Flight(Generic[K, V]):
    """One computation of some keys, and how many callers wait for it."""

    def __init__(self, keys: Sequence[K], work: Awaitable[Mapping[K, V]]) -> None:
        self.keys = keys
        self.waiters = 0
        self.task: asyncio.Future[Mapping[K, V]] = asyncio.ensure_future(work)


class SingleFlight(Generic[K, V]):
    """Joins callers that want a key which is being computed already.

    - A caller that is cancelled takes nobody with it; the last one to leave cancels the computation.
    - The computation runs under the deadline of whoever started it. If that was too short for it, a caller that had
      joined and has time left computes for itself.
    - As many computations run as callers brought keys that nobody else computes; the server's limiter bounds those.
    """

    def __init__(self) -> None:
        """Start with nothing under way."""
        self._flights: dict[K, _Flight[K, V]] = {}
        self._running: set[asyncio.Future[Any]] = set()

    def __len__(self) -> int:
        """Return how many keys are being computed."""
        return len(self._flights)

    async def get(self, keys: Sequence[K], compute: Compute[K, V]) -> dict[K, V]:
        """Return every key's value. `compute` gets the distinct keys that nobody computes yet and returns all of them.

        Raises what the computation raised.
        """
        wanted = list(dict.fromkeys(keys))
        joined = {id(flight): flight for key in wanted if (flight := self._flights.get(key)) is not None}
        fresh = [key for key in wanted if key not in self._flights]
        flights = list(joined.values())
        if fresh:
            flights.append(self._start(fresh, compute))
        for flight in flights:
            flight.waiters += 1
        found: dict[K, V] = {}
        try:
            for flight in flights:
                found |= await self._landed(flight, wanted, compute, joined=id(flight) in joined)
        finally:
            for flight in flights:
                self._leave(flight)
        return {key: found[key] for key in wanted}

    async def aclose(self) -> None:
        """Cancel what is under way and wait for its end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, keys: Sequence[K], compute: Compute[K, V]) -> _Flight[K, V]:
        flight = _Flight(keys, compute(keys))
        self._flights.update(dict.fromkeys(keys, flight))
        self._running.add(flight.task)

        def ended(task: asyncio.Future[Any]) -> None:
            self._running.discard(task)
            self._forget(flight)
            if not task.cancelled():
                task.exception()  # taken note of: its callers may have left

        flight.task.add_done_callback(ended)
        return flight

    async def _landed(
        self, flight: _Flight[K, V], wanted: Sequence[K], compute: Compute[K, V], *, joined: bool
    ) -> Mapping[K, V]:
        try:
            return await asyncio.shield(flight.task)
        except (DeadlineExceeded, BackendTimeout):
            if not joined:
                raise
            return await compute([key for key in flight.keys if key in set(wanted)])

    def _leave(self, flight: _Flight[K, V]) -> None:
        flight.waiters -= 1
        if flight.waiters == 0 and not flight.task.done():
            self._forget(flight)  # first, so that nobody joins what is about to end
            flight.task.cancel()

    def _forget(self, flight: _Flight[K, V]) -> None:
        for key in flight.keys:
            if self._flights.get(key) is flight:
                del self._flights[key]
