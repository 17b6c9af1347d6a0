"""The stores of a region: the default one, and those that collections name, opened when they are first used.

Open connections depend on how many endpoints are in use and never on how many collections lie there. One connection
for each endpoint, at most a stated number of them; the least recently used one makes room, if nobody uses it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, DomainError, Overloaded
from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import counter, gauge
from trunkline_retrieval.errors import LOAD_DELAY_S
from trunkline_retrieval.model import (
    CollectionRef,
    EmbeddedDocument,
    Filter,
    FoundDocument,
    ScrollPage,
    StoreQuery,
    require_one_shelf,
)
from trunkline_retrieval.store import StoreUsage, VectorStore

T = TypeVar("T")

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


class StorePool:
    """A VectorStore that gives every call to the store of its collection. `close` closes them all."""

    def __init__(self, default: VectorStore, opener: Opener, *, max_stores: int) -> None:
        """Own `default` from now on. Open at most `max_stores`, at least 1, others by `opener`."""
        self._default: Final = default
        self._opener: Final = opener
        self._max_stores: Final = max_stores
        self._connections: OrderedDict[str, _Connection] = OrderedDict()
        self._closing: dict[str, asyncio.Future[None]] = {}

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        """See VectorStore."""
        await self._use(ref, deadline, lambda store: store.ensure_collection(ref, deadline))

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        """See VectorStore."""
        await self._use(ref, deadline, lambda store: store.upsert(ref, documents, deadline))

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        """See VectorStore."""
        return await self._use(ref, deadline, lambda store: store.search(ref, query, deadline))

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        """See VectorStore."""
        first = require_one_shelf(refs)
        return await self._use(first, deadline, lambda store: store.search_many(refs, query, deadline))

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        """See VectorStore."""
        await self._use(ref, deadline, lambda store: store.delete(ref, document_ids, deadline))

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        """See VectorStore."""
        return await self._use(ref, deadline, lambda store: store.scroll(ref, cursor, limit, deadline))

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        """See VectorStore."""
        return await self._use(ref, deadline, lambda store: store.count(ref, deadline, wanted))

    def ready(self) -> bool:
        """Tell of the default store alone: the loss of another one fails its own collections."""
        return self._default.ready()

    def usage(self) -> StoreUsage:
        """Tell the default store's room, and the pressure of the busiest store."""
        usage = self._default.usage()
        others = [one.opening.result().usage().pressure for one in self._connections.values() if _is_open(one)]
        return StoreUsage(usage.free_bytes, max(usage.pressure, *others, 0.0))

    def endpoints(self) -> Sequence[str]:
        """Return the endpoints with a connection, least recently used first."""
        return tuple(self._connections)

    async def close(self) -> None:
        """See VectorStore."""
        for connection in self._connections.values():
            connection.opening.cancel()  # of no effect on one that is open
        await asyncio.gather(*(one.opening for one in self._connections.values()), return_exceptions=True)
        for endpoint, connection in list(self._connections.items()):
            if _is_open(connection):
                self._begin_to_close(endpoint)
        await asyncio.gather(self._default.close(), *self._closing.values())

    async def _use(self, ref: CollectionRef, deadline: Deadline, act: Callable[[VectorStore], Awaitable[T]]) -> T:
        """Let `act` use the reference's store.

        Raises what `act` does, Overloaded if there is no room for a connection, BackendUnavailable if the store
        cannot be opened, and BackendTimeout if that takes longer than the deadline. What is raised for a store that
        collections name carries the `collection`, so that callers do not take it for a failure of the region.
        """
        if not ref.store:
            return await act(self._default)
        connection = self._connection(ref.store)
        connection.under_way += 1
        try:
            return await act(await _opened(connection, deadline))
        except DomainError as failure:
            failure.metadata = {**failure.metadata, "collection": ref.scope.collection_id}
            raise
        finally:
            connection.under_way -= 1

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
