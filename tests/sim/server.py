"""A server as the simulation has it: the product's limiter before work that takes a given time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from tests.sim.laws import Laws
from tests.sim.loop import VirtualLoop
from tests.sim.slot_book import SlotBook
from tests.sim.virtual_deadline import VirtualDeadline
from trunkline_mesh.errors import BackendUnavailable
from trunkline_mesh.limiter import CapacityLimiter
from trunkline_tiers import RankTable

MAX_QUEUE: Final = 1024
MAX_QUEUE_PER_TENANT: Final = 256


class Server:
    """`slots` at once, the rest in the limiter's queue."""

    def __init__(
        self,
        name: str,
        slots: int,
        table: RankTable,
        laws: Laws,
        loop: VirtualLoop,
        dirty: dict[Server, None],
        rng: random.Random,
        limiter: CapacityLimiter | None = None,
    ) -> None:
        """`dirty` takes the servers in which something happened in this instant; they are looked at when it ends."""
        self.name: Final = name
        self.slots: Final = slots
        self.gone = False
        """Taken away by its owner: what ran on it is lost, and so is what comes now."""
        self.limiter: Final = limiter or CapacityLimiter(
            max_concurrency=slots,
            max_queue=MAX_QUEUE,
            max_queue_per_tenant=MAX_QUEUE_PER_TENANT,
            table=table,
            clock=loop.time,
            rng=rng.random,
        )
        self.book: Final = SlotBook(name, slots, table, laws, loop.time)
        self._loop = loop
        self._dirty = dirty
        self._running: dict[asyncio.Future[None], None] = {}

    async def work(self, tenant_id: str, rank: int, deadline: VirtualDeadline, takes_s: float) -> None:
        """Do work that takes `takes_s` seconds in a slot; raises as the limiter does, or BackendUnavailable."""
        book = self.book
        promised, started = book.asks(rank), False
        self._dirty[self] = None
        try:
            async with self.limiter.slot(tenant=tenant_id, rank=rank, weight=1.0, deadline=deadline) as waited_s:
                started = True
                book.starts(rank, waited_s, promised=promised)
                if self.gone:
                    raise BackendUnavailable("the server is gone")
                work = self._loop.sleep(takes_s)
                self._running[work] = None
                try:
                    await work
                finally:
                    self._running.pop(work, None)
        finally:
            if started:
                book.ends(rank)
            else:
                book.leaves(rank)
            if book.waiting:
                self._dirty[self] = None

    def look(self) -> None:
        """Judge this instant."""
        self.book.look(self.limiter.limit)

    @property
    def preempted(self) -> int:
        """Calls that were ended for work to which their slot was promised."""
        return self.limiter.stats.preempted

    def wanted_part(self) -> float:
        """Return the slots held and wanted over those there are."""
        return (self.book.running + self.book.waiting) / self.slots

    def vanish(self) -> None:
        """Lose everything that runs here: callers see a server that is gone."""
        self.gone = True
        for work in list(self._running):
            if not work.done():
                work.set_exception(BackendUnavailable("the server is gone"))

    def close(self) -> None:
        """Judge the end: no slot is held any more, neither by our count nor by the limiter's."""
        self.book.close(self.limiter.slots_in_use)
