"""A vector store behind circuit breakers, one for each kind of call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

from trunkline_mesh.breaker import Breaker
from trunkline_mesh.deadline import Deadline
from trunkline_retrieval.model import (
    CollectionRef,
    EmbeddedDocument,
    Filter,
    FoundDocument,
    ScrollPage,
    StoreQuery,
)
from trunkline_retrieval.store import StoreUsage, VectorStore


class GuardedStore:
    """A VectorStore that rests another one when it fails. Raises CircuitOpen meanwhile."""

    def __init__(self, store: VectorStore, breaker_of: Callable[[str], Breaker]) -> None:
        """Guard `store`, which is closed with this one. `breaker_of` makes a breaker for a kind of call."""
        self._store: Final = store
        self._search = breaker_of("search")
        self._write = breaker_of("write")
        self._scroll = breaker_of("scroll")

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        """See VectorStore."""
        await self._write.call(lambda: self._store.ensure_collection(ref, deadline))

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        """See VectorStore."""
        await self._write.call(lambda: self._store.upsert(ref, documents, deadline))

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        """See VectorStore."""
        return await self._search.call(lambda: self._store.search(ref, query, deadline))

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        """See VectorStore."""
        return await self._search.call(lambda: self._store.search_many(refs, query, deadline))

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        """See VectorStore."""
        await self._write.call(lambda: self._store.delete(ref, document_ids, deadline))

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        """See VectorStore."""
        return await self._scroll.call(lambda: self._store.scroll(ref, cursor, limit, deadline))

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        """See VectorStore."""
        return await self._scroll.call(lambda: self._store.count(ref, deadline, wanted))

    def ready(self) -> bool:
        """See VectorStore."""
        return self._store.ready()

    def usage(self) -> StoreUsage:
        """See VectorStore."""
        return self._store.usage()

    async def close(self) -> None:
        """See VectorStore."""
        await self._store.close()
