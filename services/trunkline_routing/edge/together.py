"""Several awaitables at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


async def together(pending: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all at once; the first failure cancels the others. One alone needs no task of its own."""
    if len(pending) == 1:
        return [await pending[0]]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one) for one in pending]
    return [task.result() for task in tasks]
