"""A region as its callers see it: quota from leases, capacity from limiters, work that takes simulated time."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from tests.sim.fleet import Fleet
from tests.sim.loop import VirtualLoop
from tests.sim.outcomes import OK, Outcome, Outcomes
from tests.sim.quota_book import QuotaBook
from tests.sim.server import Server
from tests.sim.virtual_deadline import VirtualDeadline
from tests.sim.world import Tenant
from trunkline_lease.charge import NOTHING, Charge
from trunkline_lease.holder import LeaseHolder
from trunkline_mesh.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    DeadlineUnreachable,
    DomainError,
    Overloaded,
    Preempted,
    QuotaExhausted,
)
from trunkline_mesh.retry_budget import RetryBudget

FULL: Final = Charge(1, 5)
"""A search is charged 1, its embedding 1, its rerank 3."""
MODELS: Final = Charge(0, 4)
"""Refunded where no model was needed."""
DEADLINE_FACTOR: Final = 3.0
"""Callers wait for so many times what their tier promises for 95 %."""
TRIES: Final = 3
PAUSE_S: Final = 0.02
"""Before another try where the refusal names no time."""
_RETRIED: Final = (Overloaded, DeadlineUnreachable, Preempted, BackendUnavailable)


class Region:
    """One region's router, its vector store and its GPUs."""

    def __init__(
        self,
        name: str,
        holder: LeaseHolder,
        store: Server,
        fleet: Fleet,
        book: QuotaBook,
        outcomes: Outcomes,
        deadlines_s: dict[str, float],
        loop: VirtualLoop,
        rng: random.Random,
    ) -> None:
        """`deadlines_s`: how long callers of each tier wait."""
        self.name: Final = name
        self.holder: Final = holder
        self.store: Final = store
        self.fleet: Final = fleet
        self.open = 0
        """Requests that are not answered yet."""
        self.crash: Exception | None = None
        """What a search failed with that is no answer: nothing else counts then."""
        self._book = book
        self._outcomes = outcomes
        self._deadlines_s = deadlines_s
        self._loop = loop
        self._rng = rng
        self._budget = RetryBudget(clock=loop.time)

    async def search(self, tenant: Tenant, store_s: float, model_s: float, leaves_after_s: float) -> None:
        """Serve one search to its end, whatever that is; the caller may hang up before."""
        started_s = self._loop.time()
        if leaves_after_s < 60.0:
            task = asyncio.current_task()
            assert task is not None
            self._loop.call_later(leaves_after_s, task.cancel)
        self.open += 1
        try:
            outcome = await self._admitted(tenant, started_s, store_s, model_s)
        except asyncio.CancelledError:  # the caller hung up: nobody is left to be told
            outcome = Outcome.LEFT
        except Exception as exc:  # noqa: BLE001 - nobody awaits a search: whatever went wrong ends the run
            self.crash = exc
            return
        finally:
            self.open -= 1
        self._outcomes.note(tenant.tier, started_s, outcome, self._loop.time() - started_s)

    async def _admitted(self, tenant: Tenant, started_s: float, store_s: float, model_s: float) -> Outcome:
        tenant_id, holder = tenant.tenant_id, self.holder
        deadline = VirtualDeadline(started_s + self._deadlines_s[tenant.tier], self._loop)
        try:
            spent = holder.try_spend(tenant_id, FULL) or await holder.spend(tenant_id, FULL, deadline)
        except QuotaExhausted as exc:
            return Outcome.POOL if exc.metadata.get("scope") in ("tier", "service") else Outcome.OWN_QUOTA
        except DomainError:
            return Outcome.SHED
        self._book.spent(tenant_id, FULL.requests)
        refund = FULL
        try:
            outcome = await self._tried(tenant_id, spent.rank, deadline, store_s, model_s)
            if outcome is OK:
                refund = NOTHING if model_s else MODELS
        finally:
            if refund is not NOTHING:
                accepted = holder.refund(tenant_id, refund)
                self._book.refunded(tenant_id, accepted.requests)
        return outcome

    async def _tried(
        self, tenant_id: str, rank: int, deadline: VirtualDeadline, store_s: float, model_s: float
    ) -> Outcome:
        """Do the work, with another try where the first finds no room, within the budget for that."""
        self._budget.record_request()
        for left in range(TRIES - 1, -1, -1):
            try:
                if model_s:
                    await self.fleet.pick().work(tenant_id, rank, deadline, model_s)
                await self.store.work(tenant_id, rank, deadline, store_s)
            except DeadlineExceeded:
                return Outcome.LATE
            except _RETRIED as exc:
                pause_s = exc.retry_delay_s or PAUSE_S
                if not left or pause_s >= deadline.remaining_s() or not self._budget.try_spend():
                    return _ended(exc)
                self._outcomes.retries += 1
                await self._loop.sleep(pause_s * (1 + self._rng.random()))
            else:
                return Outcome.LATE if deadline.expired() else OK
        raise AssertionError("the last try returns")


def _ended(exc: DomainError) -> Outcome:
    if isinstance(exc, Preempted):
        return Outcome.PREEMPTED
    return Outcome.LOST if isinstance(exc, BackendUnavailable) else Outcome.SHED
