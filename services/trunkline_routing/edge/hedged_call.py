"""Two attempts at the same work, the second one begun late: the first good answer wins, the other one is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from trunkline_map.entries import RegionEntry
from trunkline_mesh.errors import DomainError
from trunkline_routing.edge.trail_attempts import Known

T = TypeVar("T")


@dataclass(slots=True)  # frozen ones take twice as long to make, and every call makes one
class Ended(Generic[T]):
    """How one attempt ended."""

    region: RegionEntry
    results: Sequence[T | DomainError]
    """For each piece of work; empty for an attempt that lost."""
    elapsed_s: float
    known: Known | None = None
    """What was known of the region when it was asked."""

    @property
    def is_good(self) -> bool:
        """True if it served anything."""
        return any(not isinstance(result, DomainError) for result in self.results)


Asking = Coroutine[Any, Any, Ended[T]]


async def hedged(first: Asking[T], second: Callable[[], Asking[T] | None], *, delay_s: float) -> list[Ended[T] | None]:
    """Await `first`, and beside it after `delay_s` what `second` begins, if anything; return how both ended.

    One that was not begun is left out. None stands for one that lost: it is cancelled, and has ended when this returns.
    """
    tasks = [asyncio.ensure_future(first)]
    try:
        await asyncio.wait(tasks, timeout=delay_s)
        other = None if tasks[0].done() else second()
        if other is not None:
            tasks.append(asyncio.ensure_future(other))
        winner = await _first_good(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    return [_unless_lost(task, winner) for task in tasks]


async def _first_good(tasks: Sequence[asyncio.Future[Ended[T]]]) -> asyncio.Future[Ended[T]] | None:
    """Wait for the first good answer; None if none was. Raises what a task raises that is no domain error."""
    pending = set(tasks)
    while pending:
        _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done() and task.result().is_good:
                return task
    return None


def _unless_lost(task: asyncio.Future[Ended[T]], winner: asyncio.Future[Ended[T]] | None) -> Ended[T] | None:
    """A failure before the winner's answer is told as such; whatever came beside it or was cancelled has lost."""
    if task is winner:
        return task.result()
    if task.cancelled() or task.result().is_good:
        return None
    return task.result()
