"""Background tasks that somebody keeps, cancels and awaits, and whose failure is not lost meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)


def keep_task(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """Start a task; its failure is logged when it happens. The caller cancels it and passes it to `end_tasks`."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


async def end_tasks(*tasks: asyncio.Task[None] | None) -> None:
    """Cancel tasks and wait until they have ended."""
    running = [task for task in tasks if task is not None]
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)


def _tell(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("background task %s failed: %r", task.get_name(), error)
