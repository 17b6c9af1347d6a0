"""Who waits for lines that another thread writes."""

from __future__ import annotations

import asyncio


class LineWaiters:
    """Futures of one event loop, by the number of the last line that each waits for. The caller's lock guards it."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    def add(self, number: int) -> asyncio.Future[None]:
        """Return a future of the running loop that is done when the lines before `number` are written."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((number, future))
        return future

    def written(self, number: int) -> None:
        """Wake, from any thread, those who wait for lines up to that one."""
        woken = [future for before, future in self._waiting if before <= number + 1]
        self._waiting = [each for each in self._waiting if each[0] > number + 1]
        if woken:
            woken[0].get_loop().call_soon_threadsafe(_resolve, woken)


def _resolve(futures: list[asyncio.Future[None]]) -> None:
    for future in futures:
        if not future.done():
            future.set_result(None)
