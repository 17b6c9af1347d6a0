"""Small collections, documents and queries for the contract of the storage port."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

import numpy as np

from trunkline_mesh.deadline import Deadline
from trunkline_retrieval.model import (
    CollectionRef,
    Document,
    EmbeddedDocument,
    FieldScalar,
    FoundDocument,
    Scope,
    SearchMode,
    StoreQuery,
    Vector,
)
from trunkline_retrieval.store import VectorStore

DIMENSION: Final = 4
EAST: Final = (1.0, 0.0, 0.0, 0.0)
NORTH: Final = (0.0, 1.0, 0.0, 0.0)
NORTH_EAST: Final = (1.0, 1.0, 0.0, 0.0)
_numbers = itertools.count()


def soon() -> Deadline:
    """Return a deadline that only a hung store misses."""
    return Deadline.after(30)


def vector(*numbers: float) -> Vector:
    """Return a vector of the tests' dimension."""
    return np.array(numbers, dtype=np.float32)


def new_ref(tenant: str = "acme", collection: str = "docs", *, physical: str | None = None) -> CollectionRef:
    """Return a collection in a physical one that no other test uses, unless `physical` names one."""
    name = physical or f"shard_space-a_{uuid.uuid4().hex[:8]}{next(_numbers)}"
    return CollectionRef(Scope(tenant, collection), name, "space-a", DIMENSION)


def document(
    document_id: str,
    numbers: Sequence[float] = EAST,
    text: str = "a plain sentence",
    fields: Mapping[str, FieldScalar] | None = None,
) -> EmbeddedDocument:
    """Return a document with its vector."""
    return EmbeddedDocument(Document(document_id, text, dict(fields or {})), vector(*numbers))


def dense(limit: int = 10, numbers: Sequence[float] = EAST, **rest: object) -> StoreQuery:
    """Return a dense query."""
    return replace(StoreQuery(SearchMode.DENSE, limit, vector=vector(*numbers)), **rest)  # type: ignore[arg-type] # fields of StoreQuery, as each test names them


def ids(hits: Iterable[FoundDocument]) -> list[str]:
    """Return the documents' ids in order."""
    return [hit.document.document_id for hit in hits]


async def fill(store: VectorStore, ref: CollectionRef, *documents: EmbeddedDocument) -> None:
    """Create the physical collection and write."""
    await store.ensure_collection(ref, soon())
    await store.upsert(ref, documents, soon())


async def read_all(store: VectorStore, ref: CollectionRef, page: int) -> list[EmbeddedDocument]:
    """Scroll through everything."""
    documents: list[EmbeddedDocument] = []
    cursor: UUID | None = None
    while True:
        result = await store.scroll(ref, cursor, page, soon())
        assert len(result.documents) <= page
        documents.extend(result.documents)
        if result.next_cursor is None:
            return documents
        cursor = result.next_cursor
