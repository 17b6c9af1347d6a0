"""Reading a watch with a limit of time, without losing the signal that comes just then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from trunkline_map.store import Signal, Watch

Read = Callable[[float], Awaitable[Signal | None]]
"""Returns the next signal, or None if none came within so many seconds. Raises what the watch raises."""


@asynccontextmanager
async def reading(watch: Watch) -> AsyncIterator[Read]:
    """Give a `Read` of the watch. A read that ran out of time goes on in the next one: cancelling it would break it."""
    signals = aiter(watch)
    pending: asyncio.Future[Signal] | None = None

    async def read(timeout_s: float) -> Signal | None:
        nonlocal pending
        if pending is None:
            pending = asyncio.ensure_future(anext(signals))
        done, _ = await asyncio.wait((pending,), timeout=timeout_s)
        if not done:
            return None
        finished, pending = pending, None
        return finished.result()

    try:
        yield read
    finally:
        if pending is not None:
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)
        if isinstance(signals, AsyncGenerator):
            await signals.aclose()
