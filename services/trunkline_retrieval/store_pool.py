"""The stores of a region: the default one, and those that collections name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError
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
from trunkline_retrieval.store_connections import Opener, StoreConnections

T = TypeVar("T")


class StorePool:
    """A VectorStore that gives every call to the store of its collection. `close` closes them all."""

    def __init__(self, default: VectorStore, opener: Opener, *, max_stores: int) -> None:
        """Own `default` from now on. Open at most `max_stores`, at least 1, others by `opener`."""
        self._default: Final = default
        self._others: Final = StoreConnections(opener, max_stores=max_stores)

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
        pressures = [store.usage().pressure for store in self._others.opened()]
        return StoreUsage(usage.free_bytes, max(usage.pressure, *pressures, 0.0))

    def endpoints(self) -> Sequence[str]:
        """Return the endpoints with a connection, least recently used first."""
        return self._others.endpoints()

    async def close(self) -> None:
        """See VectorStore."""
        try:
            await self._others.close()
        finally:
            await self._default.close()

    async def _use(self, ref: CollectionRef, deadline: Deadline, act: Callable[[VectorStore], Awaitable[T]]) -> T:
        """Let `act` use the reference's store.

        Raises what `act` and `StoreConnections.use` do. What is raised for a store that collections name carries the
        `collection`, so that callers do not take it for a failure of the region.
        """
        if not ref.store:
            return await act(self._default)
        try:
            async with self._others.use(ref.store, deadline) as store:
                return await act(store)
        except DomainError as failure:
            failure.metadata = {**failure.metadata, "collection": ref.scope.collection_id}
            raise
