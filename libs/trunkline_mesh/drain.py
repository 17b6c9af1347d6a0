"""Ends what still runs when the server drains: long streams at once, stragglers just before the grace is over.

gRPC itself would cut them with a bare status; here each gets DRAINING with its reason, as the contract says.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline_mesh.errors import Draining

RETRY_DELAY_S = 0.5
"""Told to the peer of a call that was ended: another replica, or this one's successor, is there soon."""


class Drain:
    """Whether a server drains, and the calls that must end when it does."""

    def __init__(self) -> None:
        """Begin without draining."""
        self._draining = False
        self._cutting = False
        self._streams: set[asyncio.Timeout] = set()
        self._calls: set[asyncio.Task[object]] = set()

    def begin(self) -> None:
        """End every long stream under way, and each later one at once."""
        self._draining = True
        now_s = asyncio.get_running_loop().time()
        for stream in self._streams:
            stream.reschedule(now_s)

    def cut(self) -> None:
        """Cancel the calls that are still under way; their callers are told DRAINING."""
        self._cutting = True
        for call in self._calls:
            call.cancel()

    def refusal(self) -> Draining | None:
        """Return what a cancelled call is told if it was `cut` that cancelled it."""
        return Draining(retry_delay_s=RETRY_DELAY_S) if self._cutting else None

    def enter(self, call: asyncio.Task[object]) -> None:
        """Let `cut` find a call; whatever enters must `leave`."""
        self._calls.add(call)

    def leave(self, call: asyncio.Task[object]) -> None:
        """Forget a call that has ended."""
        self._calls.discard(call)

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
