"""Work that runs beside something else and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable

from trunkline_mesh.logs import get_logger

log = get_logger("background")


@contextlib.asynccontextmanager
async def background(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    """Run `work` beside the context's body and cancel it at the end.

    If it fails before, it is logged and the body goes on.
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_log_failure)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait((task,))  # unlike `await task` it raises nothing of the work's, and our own cancellation


def _log_failure(task: asyncio.Future[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background work ended", error_type=type(task.exception()).__name__, exc_info=task.exception())
