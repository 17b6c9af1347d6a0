"""Ends long streams when the server drains, so that one open stream does not hold the process for the whole grace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_mesh.errors import Draining

RETRY_DELAY_S = 0.5
"""Told to the peer of a stream that was ended: another replica, or this one's successor, is there soon."""


class Drain:
    """Whether a server drains, and the streams that end when it does."""

    def __init__(self) -> None:
        """Begin without draining."""
        self._draining = False
        self._streams: set[asyncio.Timeout] = set()

    def begin(self) -> None:
        """End every stream under way, and each later one at once."""
        self._draining = True
        now_s = asyncio.get_running_loop().time()
        for stream in self._streams:
            stream.reschedule(now_s)

    @asynccontextmanager
    async def stream(self) -> AsyncIterator[None]:
        """Run a stream's handler; raise Draining in its place once the server drains."""
        if self._draining:
            raise Draining(retry_delay_s=RETRY_DELAY_S)
        limit = asyncio.timeout(None)
        try:
            async with limit:
                self._streams.add(limit)
                try:
                    yield
                finally:
                    self._streams.discard(limit)
        except TimeoutError:
            if limit.expired():
                raise Draining(retry_delay_s=RETRY_DELAY_S) from None
            raise
