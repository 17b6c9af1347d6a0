"""The storage port: what the service asks of a vector store, in plain types.

Contract of every method: it ends by its deadline, with BackendTimeout if the store did not answer; it raises
BackendUnavailable if the store cannot be reached or is restarting or busy, Overloaded if too much is under way, and
SpaceMismatch if the physical collection holds vectors of another space or dimension. A physical collection that does
not exist holds nothing: it is no error to read or delete there. Cancelling a call leaves nothing behind.
tests/contract/vector_store_suite.py holds every adapter to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from trunkline_mesh.deadline import Deadline
from trunkline_retrieval.model import CollectionRef, EmbeddedDocument, Filter, FoundDocument, ScrollPage, StoreQuery


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """How full and how busy a store is."""

    free_bytes: int | None
    """Room left for writes above the store's reserve; None where the store does not tell."""
    pressure: float
    """Work under way as a share of what is accepted, 0 to 1."""


class VectorStore(Protocol):
    """One region's vector store."""

    async def ensure_collection(self, ref: CollectionRef, deadline: Deadline) -> None:
        """Create the physical collection and its indexes unless it exists. Raises also StorageFull."""
        ...

    async def upsert(self, ref: CollectionRef, documents: Sequence[EmbeddedDocument], deadline: Deadline) -> None:
        """Write documents, replacing those of the same ids; durable when it returns. Raises also StorageFull.

        The physical collection must have been ensured. Raises ValueError for a vector that is not finite or not of
        the reference's dimension: use cases check that before.
        """
        ...

    async def search(self, ref: CollectionRef, query: StoreQuery, deadline: Deadline) -> Sequence[FoundDocument]:
        """Return at most `query.limit` documents of the scope, best first, ties by document id."""
        ...

    async def search_many(
        self, refs: Sequence[CollectionRef], query: StoreQuery, deadline: Deadline
    ) -> Sequence[Sequence[FoundDocument]]:
        """Return what `search` would for each of these collections of one physical collection, in one round trip.

        One or more; they are answered, or fail, together. Raises ValueError for references to several physical
        collections, spaces or stores.
        """
        ...

    async def delete(self, ref: CollectionRef, document_ids: Sequence[str], deadline: Deadline) -> None:
        """Delete documents of the scope; durable when it returns. Unknown ids are no error."""
        ...

    async def scroll(self, ref: CollectionRef, cursor: UUID | None, limit: int, deadline: Deadline) -> ScrollPage:
        """Return the scope's next `limit` documents from point id `cursor` on, in the order of point ids.

        Vectors come back at unit length, as stores of cosine similarity keep them.
        """
        ...

    async def count(self, ref: CollectionRef, deadline: Deadline, wanted: Filter | None = None) -> int:
        """Return how many documents of the scope pass `wanted`, exactly."""
        ...

    def ready(self) -> bool:
        """Return True if calls are likely to be answered now. Does no I/O."""
        ...

    def usage(self) -> StoreUsage:
        """Return how full and how busy the store is. Does no I/O beyond a file system's statistics."""
        ...

    async def close(self) -> None:
        """Give everything back. Calls under way fail with BackendUnavailable."""
        ...
