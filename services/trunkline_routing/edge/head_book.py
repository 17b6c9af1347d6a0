"""What semantics decide by, held ready in bounded memory; `head_making` makes it."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from trunkline_map.entries import HeadPointer, SpaceEntry
from trunkline_mesh.clock import MONOTONIC, Clock
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.head_making import HeadMaker, ReadyHead
from trunkline_routing.edge.model import Gate
from trunkline_routing.edge.policy_book import BlobReader
from trunkline_routing.edge.prepared_policy import Lane

MAX_POLICIES: Final = 4_096
"""Policies whose heads are held, however small these are."""
log = get_logger("heads")


@dataclass(slots=True)
class _Place:
    ready: ReadyHead | None = None
    preparing: asyncio.Task[None] | None = field(default=None, repr=False)


class HeadBook:
    """The heads of policies in use, least recently used ones forgotten when they need too much memory."""

    def __init__(self, blobs: BlobReader, embedding: Embedding, *, max_bytes: int, clock: Clock = MONOTONIC) -> None:
        """Keep heads of `max_bytes` together, and always the one that was used last."""
        self._maker = HeadMaker(blobs, embedding, clock)
        self._max_bytes = max_bytes
        self._clock = clock
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()
        self._size_bytes = 0

    async def get(self, gate: Gate, lane: Lane, space: SpaceEntry, deadline: Deadline) -> ReadyHead:
        """Return what decides by a policy in a space, making it ready first; waits at most to `deadline`.

        It is made anew when the map's collections, their descriptions, the space's model or the trained head have
        changed. One task works for all who wait, and goes on when they give up. Raises domain errors, TimeoutError.
        """
        collections = gate.snapshot.collections_of(gate.tenant.tenant_id)
        promised = lane.head(space)
        key = (gate.tenant.tenant_id, lane.digest)
        place = self._places.setdefault(key, _Place())
        self._places.move_to_end(key)
        while (ready := place.ready) is None or not ready.holds(collections, space, promised) or self._over(ready):
            if place.preparing is None or place.preparing.done():
                work = self._make_ready(key, place, gate, lane, space, promised)
                place.preparing = asyncio.ensure_future(work)
                place.preparing.add_done_callback(_log_failure)
            async with asyncio.timeout(deadline.remaining_s()):
                await asyncio.shield(place.preparing)
        return ready

    async def warm(self, gate: Gate, lane: Lane, space: SpaceEntry) -> None:
        """Read a trained head before it is asked for.

        Prototypes are left to the first query: they are embedded with its caller's credential, and there is none here.
        """
        promised = lane.head(space)
        if promised is None:
            return
        ready = await self._maker.trained(gate, lane, space, promised)
        if ready is not None:
            key = (gate.tenant.tenant_id, lane.digest)
            self._keep(key, self._places.setdefault(key, _Place()), ready)

    async def _make_ready(
        self,
        key: tuple[str, str],
        place: _Place,
        gate: Gate,
        lane: Lane,
        space: SpaceEntry,
        promised: HeadPointer | None,
    ) -> None:
        self._keep(key, place, await self._maker.make(gate, lane, space, promised, place.ready))

    def _over(self, ready: ReadyHead) -> bool:
        return ready.until_s < self._clock()

    def _keep(self, key: tuple[str, str], place: _Place, made: ReadyHead) -> None:
        if self._places.get(key) is place:
            self._size_bytes -= _size(place)
            place.ready = made
            self._size_bytes += _size(place)
        else:  # it was forgotten while it was made
            place.ready = made
        while len(self._places) > 1 and (self._size_bytes > self._max_bytes or len(self._places) > MAX_POLICIES):
            _, forgotten = self._places.popitem(last=False)  # what still works for it ends by itself
            self._size_bytes -= _size(forgotten)

    async def close(self) -> None:
        """Stop whatever is still being made ready."""
        tasks = [place.preparing for place in self._places.values() if place.preparing is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _size(place: _Place) -> int:
    return 0 if place.ready is None else place.ready.head.size_bytes


def _log_failure(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        return
    error = task.exception()
    if isinstance(error, DomainError):
        log.warning("semantics could not be made ready", error_type=type(error).__name__)
    elif error is not None:
        log.error("semantics could not be made ready", error_type=type(error).__name__, exc_info=error)
