"""Decisions that a variant makes beside the one that is used: out of the request's way, few at once, never needed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import RequestScope, current_request
from trunkline_routing.edge.model import Decision, Gate
from trunkline_routing.edge.trail import TrailRecorder
from trunkline_routing.feedback.journal import FeedbackStore
from trunkline_routing.feedback.records import ShadowRecord

SHADOW_S: Final = 5.0
"""Time that a shadow decision may take, and the same for its record."""

_SHADOWS = metrics.counter("decision_shadows", "Shadow decisions, by what came of them.", ("outcome",))
_AGREES, _DIFFERS, _DROPPED, _FAILED = (_SHADOWS.labels(each) for each in ("agrees", "differs", "dropped", "failed"))

log = get_logger("shadows")


class Shadows:
    """Runs shadow decisions and keeps whether they agree, for whoever judges the variant."""

    def __init__(
        self, store: FeedbackStore, *, concurrency: int, region_id: str, now: Callable[[], float] = time.time
    ) -> None:
        """Run at most `concurrency` at once; what comes when they are all busy is dropped and counted."""
        self._store = store
        self._concurrency = concurrency
        self._region_id = region_id
        self._now = now
        self._running: set[asyncio.Task[None]] = set()

    def begin(
        self,
        gate: Gate,
        experiment: str,
        used: Decision,
        decide: Callable[[Deadline, TrailRecorder], Awaitable[Decision]],
    ) -> None:
        """Have `decide` decide, and compare it with the decision that is used; returns at once."""
        if len(self._running) >= self._concurrency:
            _DROPPED.inc()
            return
        task = asyncio.ensure_future(self._run(gate, experiment, used, decide))
        self._running.add(task)
        task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Stop what is running."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and task.exception() is not None:
            _FAILED.inc()
            log.error("a shadow decision ended", error_type=type(task.exception()).__name__, exc_info=task.exception())

    async def _run(
        self,
        gate: Gate,
        experiment: str,
        used: Decision,
        decide: Callable[[Deadline, TrailRecorder], Awaitable[Decision]],
    ) -> None:
        deadline = Deadline.after(SHADOW_S)
        try:
            decision = await decide(deadline, TrailRecorder(_scope(deadline), self._region_id))
            agrees = _names(decision) == _names(used)
            record = ShadowRecord(gate.tenant.tenant_id, self._now(), experiment, agrees)
            async with asyncio.timeout(SHADOW_S):
                await self._store.append(gate.region.jurisdiction, record)
        except (DomainError, TimeoutError) as exc:
            _FAILED.inc()
            log.info("a shadow decision failed", error_type=type(exc).__name__)
            return
        (_AGREES if agrees else _DIFFERS).inc()


def _names(decision: Decision) -> frozenset[str]:
    return frozenset(choice.entry.collection_id for choice in decision.choices)


def _scope(deadline: Deadline) -> RequestScope:
    """The request's own may have ended; calls go on under its id, by its caller's credential."""
    scope = current_request()
    return RequestScope(scope.request_id, scope.attempt, scope.method, deadline, False, scope.principal)
