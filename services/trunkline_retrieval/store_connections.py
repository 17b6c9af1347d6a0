"""Connections to the stores that collections name: one for each endpoint, bounded, opened when first used.

The number of open connections depends on how many endpoints are in use and never on how many collections lie there.
The least recently used one makes room for another, if nobody uses it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, DomainError, Overloaded
from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import counter, gauge
from trunkline_retrieval.errors import LOAD_DELAY_S
from trunkline_retrieval.store import VectorStore

Opener = Callable[[str], Awaitable[VectorStore]]
"""Opens the store of an endpoint. Raises a DomainError if it cannot; whatever else it raises becomes one."""

_OPEN: Final = gauge("retrieval_stores_open", "Stores besides the default one with an open connection.")
_OPENED: Final = counter("retrieval_stores_opened", "Connections opened to stores besides the default one.")
_log = get_logger(__name__)


class _Connection:
    """One endpoint's store, or its opening, and how many calls use it."""

    __slots__ = ("opening", "under_way")

    def __init__(self, opening: asyncio.Future[VectorStore]) -> None:
        self.opening = opening
        self.under_way = 0

    def is_idle(self) -> bool:
        """Return True if it may be closed."""
        return self.under_way == 0 and self.opening.done()


class StoreConnections:
    """Stores by endpoint, each opened once for all who need it. `close` closes them all. One event loop owns it."""

    def __init__(self, opener: Opener, *, max_stores: int) -> None:
        """Open at most `max_stores`, at least 1, by `opener`."""
        self._opener: Final = opener
        self._max_stores: Final = max_stores
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._closing: dict[str, asyncio.Future[None]] = {}

    @asynccontextmanager
    async def use(self, endpoint: str, deadline: Deadline) -> AsyncIterator[VectorStore]:
        """Give the endpoint's store, which is not closed before the context's end.

        Raises Overloaded if there is no room for a connection, BackendUnavailable or the opener's own DomainError if it
        cannot be opened, and BackendTimeout if that takes longer than the deadline.
        """
        connection = self._connection(endpoint)
        connection.under_way += 1
        try:
            yield await _opened(connection, deadline)
        finally:
            connection.under_way -= 1

    def endpoints(self) -> Sequence[str]:
        """Return the endpoints with a connection, least recently used first."""
        return tuple(self._connections)

    def opened(self) -> Sequence[VectorStore]:
        """Return the stores that are open now."""
        return tuple(one.opening.result() for one in self._connections.values() if _is_open(one))

    async def close(self) -> None:
        """Close all; what is being opened is given up. Does not raise for a store that cannot be closed."""
        for connection in self._connections.values():
            connection.opening.cancel()  # of no effect on one that is open
        await asyncio.gather(*(one.opening for one in self._connections.values()), return_exceptions=True)
        for endpoint, connection in list(self._connections.items()):
            if _is_open(connection):
                self._begin_to_close(endpoint)
        await asyncio.gather(*self._closing.values())

    def _connection(self, endpoint: str) -> _Connection:
        """Return the endpoint's connection; whoever comes first begins to open it, for all."""
        connection = self._connections.get(endpoint)
        if connection is not None:
            self._connections.move_to_end(endpoint)
            return connection
        wait_for = [self._closing[endpoint]] if endpoint in self._closing else []
        if len(self._connections) >= self._max_stores:
            wait_for.append(self._close_least_used())
        connection = _Connection(asyncio.ensure_future(self._open(endpoint, wait_for)))
        connection.opening.add_done_callback(lambda _: self._forget_failed(endpoint, connection))
        self._connections[endpoint] = connection
        return connection

    def _close_least_used(self) -> asyncio.Future[None]:
        """Make room; raises Overloaded where every connection is in use."""
        idle = next((endpoint for endpoint, one in self._connections.items() if one.is_idle()), None)
        if idle is None:
            raise Overloaded("every connection to a store is in use", retry_delay_s=LOAD_DELAY_S)
        return self._begin_to_close(idle)

    def _begin_to_close(self, endpoint: str) -> asyncio.Future[None]:
        store = self._connections.pop(endpoint).opening.result()
        closing = asyncio.ensure_future(_close(endpoint, store))
        self._closing[endpoint] = closing
        closing.add_done_callback(lambda _: self._closing.pop(endpoint, None))
        return closing

    async def _open(self, endpoint: str, wait_for: Sequence[asyncio.Future[None]]) -> VectorStore:
        """Open the endpoint's store once what stands in its way is closed. Nobody's deadline ends it."""
        if wait_for:
            await asyncio.wait(wait_for)
        try:
            store = await self._opener(endpoint)
        except DomainError:
            raise
        except Exception as exc:
            _log.warning("store could not be opened", address=endpoint, error_type=type(exc).__name__)
            raise BackendUnavailable("the collection's store cannot be opened") from exc
        _OPENED.inc()
        _OPEN.inc()
        return store

    def _forget_failed(self, endpoint: str, connection: _Connection) -> None:
        """Let the next call try again; also retrieves the exception if nobody waits for it any more."""
        if not _is_open(connection) and self._connections.get(endpoint) is connection:
            del self._connections[endpoint]


def _is_open(connection: _Connection) -> bool:
    opening = connection.opening
    return opening.done() and not opening.cancelled() and opening.exception() is None


async def _opened(connection: _Connection, deadline: Deadline) -> VectorStore:
    try:
        if connection.opening.done():
            return connection.opening.result()
        async with asyncio.timeout(deadline.remaining_s()):
            return await asyncio.shield(connection.opening)
    except TimeoutError as exc:
        raise BackendTimeout from exc
    except DomainError as failure:  # all who wait share it, and what is added for one is not for the others
        raise type(failure)(failure.message, retry_delay_s=failure.retry_delay_s) from failure


async def _close(endpoint: str, store: VectorStore) -> None:
    try:
        await store.close()
    except Exception as exc:  # noqa: BLE001 - whatever an adapter's library raises, the connection is given up
        _log.warning("store could not be closed", address=endpoint, error_type=type(exc).__name__)
    finally:
        _OPEN.dec()
