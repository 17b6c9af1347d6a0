"""Work that runs beside something else and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Final

from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import counter

_FAILURES: Final = counter(
    "background_failures", "Work beside calls that failed by a defect, and whether it goes on.", ("work", "end")
)

log = get_logger("background")


@contextlib.asynccontextmanager
async def background(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """Run `work` beside the context's body and cancel it at the end.

    If it fails before, it is logged and counted, and the body goes on.
    """
    task = asyncio.ensure_future(work)
    name = getattr(work, "__qualname__", type(work).__name__)
    task.add_done_callback(lambda ended: _tell_failure(name, ended))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))  # unlike `await task` it raises nothing of the work's, and our own cancellation


@contextlib.contextmanager
def goes_on(work: str) -> Iterator[None]:
    """Guard one turn of a loop that must outlive whatever goes wrong in it: an error is logged, counted and dropped.

    `work` names the loop: one of few names. For errors that nobody expects; those that may happen are the turn's own
    business. The loop must pause between its turns.
    """
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - the point of it; it is told, and a cancellation is no Exception
        _tell(work, "goes_on", exc)


def _tell_failure(work: str, task: asyncio.Future[None]) -> None:
    exc = None if task.cancelled() else task.exception()
    if exc is not None:
        _tell(work, "ended", exc)


def _tell(work: str, end: str, exc: BaseException) -> None:
    _FAILURES.labels(work, end).inc()
    log.error("background work failed", name=work, state=end, error_type=type(exc).__name__, exc_info=exc)
