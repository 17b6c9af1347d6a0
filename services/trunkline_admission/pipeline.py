"""Answers a stream of requests in their order, several at a time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


async def in_order(
    requests: AsyncIterator[RequestT],
    answer: Callable[[RequestT], Awaitable[ResponseT]],
    *,
    window: int,
    lane: Callable[[RequestT], str],
) -> AsyncGenerator[ResponseT, None]:
    """Yield `answer(request)` for each request, in order, with at most `window` that are not yet taken.

    Requests of one lane are worked on one after the other. One slow answer holds the later ones back, and does not add
    its time to those of other lanes. The first error ends it, after the answers before it; nothing is left running
    then. Consume it in one task and close it.
    """
    under_way: asyncio.Queue[asyncio.Future[ResponseT] | None] = asyncio.Queue()  # bounded by `room`
    room = asyncio.Semaphore(window)
    last: dict[str, asyncio.Future[ResponseT]] = {}

    async def after(earlier: asyncio.Future[ResponseT] | None, request: RequestT, name: str) -> ResponseT:
        try:
            if earlier is not None:
                await asyncio.wait((earlier,))
            return await answer(request)
        finally:
            if last.get(name) is asyncio.current_task():
                del last[name]

    async def feed() -> None:
        try:
            async for request in requests:
                await room.acquire()
                name = lane(request)
                task = last[name] = asyncio.ensure_future(after(last.get(name), request, name))
                under_way.put_nowait(task)
        finally:
            under_way.put_nowait(None)

    feeding = asyncio.ensure_future(feed())
    head: asyncio.Future[ResponseT] | None = None
    try:
        while (head := await under_way.get()) is not None:
            yield await head
            room.release()
        await feeding
    finally:
        await _end(feeding, head)
        while not under_way.empty():
            await _end(under_way.get_nowait())


async def _end(*futures: asyncio.Future[Any] | None) -> None:
    """Cancel what is still running and take note of how it ended."""
    left = [future for future in futures if future is not None]
    for future in left:
        future.cancel()
    await asyncio.gather(*left, return_exceptions=True)
