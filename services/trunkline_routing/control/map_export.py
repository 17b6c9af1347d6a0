"""Use case: the whole map at one revision, in the order in which entries rely on each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from trunkline_map.entries import Entry
from trunkline_map.snapshot import MapSnapshot
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import MapUnwritable
from trunkline_routing.control.map_store import MapStore

PART_SIZE: Final = 500
"""Entries told at a time: bounded work for the event loop, and far below the message limit."""

CATCH_UP_S: Final = 5.0
"""The watched map gets so long to reach the store's present state."""


@dataclass(frozen=True, slots=True)
class ExportPart:
    """Some of the map's entries."""

    entries: tuple[Entry, ...]
    token: bytes
    """Of the state that is read, the same in every part."""
    total: int
    """Entries in all; 0 in every part but the first."""


class Export:
    """Reads the map as a whole."""

    def __init__(self, maps: MapStore) -> None:
        """Read `maps`."""
        self._maps = maps

    async def run(self, deadline: Deadline) -> AsyncGenerator[ExportPart, None]:
        """Yield regions, spaces, tenants and collections, each in the order of their names; at least one part.

        What is read is the watched map, once it reflects what the store has now: it never changes while it is read,
        costs the store nothing, and nothing is compacted under it. While the store is away it is the last good map.
        Raises StaleMap, MapUnwritable and DeadlineExceeded.
        """
        snapshot = await self._present(deadline)
        # Some 0.1 s for 100,000 entries the first time: too long for the event loop, and the snapshot never changes.
        total = await asyncio.to_thread(_count, snapshot)
        entries = _ordered(snapshot)
        yield ExportPart(tuple(islice(entries, PART_SIZE)), snapshot.token, total)
        while part := tuple(islice(entries, PART_SIZE)):
            deadline.require()
            yield ExportPart(part, snapshot.token, 0)

    async def _present(self, deadline: Deadline) -> MapSnapshot:
        try:
            state = await self._maps.read_live((), deadline)
        except MapUnwritable:
            return self._maps.last_good(deadline)
        return await self._maps.source.at_least(state.token, deadline.within(CATCH_UP_S))


def _count(snapshot: MapSnapshot) -> int:
    """Count what `_ordered` yields, and sort what it will need."""
    return sum(1 for _ in _ordered(snapshot))


def _ordered(snapshot: MapSnapshot) -> Iterator[Entry]:
    yield from snapshot.regions()
    yield from snapshot.spaces()
    tenants = sorted(snapshot.tenants(), key=lambda tenant: tenant.tenant_id)
    yield from tenants
    for tenant in tenants:
        yield from snapshot.collections_of(tenant.tenant_id)
