"""Use case: find documents in one or several collections of a tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import SpaceMismatch, invalid_field
from trunkline_retrieval.budget import until_store
from trunkline_retrieval.model import CollectionRef, Filter, FoundDocument, SearchMode, StoreQuery, Vector
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.store import VectorStore
from trunkline_retrieval.vectors import require_vector


@dataclass(frozen=True, slots=True)
class SearchCommand:
    """What to find. Bounds of single fields are checked before."""

    tenant_id: str
    collections: Sequence[str]
    limit: int
    text: str = ""
    vectors: Mapping[str, Vector] = field(default_factory=dict)
    """Embedding space to the query's vector in it."""
    mode: SearchMode | None = None
    """None: hybrid where text and vector are given, else as the one that is."""
    filter: Filter = field(default_factory=Filter)
    min_score: float | None = None
    include_fields: frozenset[str] = frozenset()
    map_token: bytes = b""


@dataclass(frozen=True, slots=True)
class CollectionHits:
    """One collection's documents, best first, and how they were found."""

    collection_id: str
    mode: SearchMode
    hits: Sequence[FoundDocument]


class Search:
    """Searches the collections of a request at the same time; one that fails fails the request."""

    def __init__(self, placements: Placements, store: VectorStore) -> None:
        """Search `store`, where `placements` allows it."""
        self._placements = placements
        self._store = store

    async def run(self, command: SearchCommand, deadline: Deadline) -> list[CollectionHits]:
        """Return each collection's hits, in the command's order.

        Raises FieldInvalid for a mode that lacks its text or vector, SpaceMismatch for vectors that are not of the
        collections' spaces, and what Placements.resolve and VectorStore.search raise.
        """
        mode = _mode_of(command)
        refs = await self._placements.resolve(command.tenant_id, command.collections, command.map_token, deadline)
        queries = [_query(command, mode, ref) for ref in refs]
        if not command.vectors.keys() <= {ref.space_id for ref in refs}:
            raise SpaceMismatch("a vector is of an embedding space that none of the collections has")
        until = until_store(deadline)
        if len(refs) == 1:
            return [await self._one(refs[0], queries[0], until)]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(ref, query, until)) for ref, query in zip(refs, queries, strict=True)]
        return [task.result() for task in tasks]

    async def _one(self, ref: CollectionRef, query: StoreQuery, until: Deadline) -> CollectionHits:
        return CollectionHits(ref.scope.collection_id, query.mode, await self._store.search(ref, query, until))


def _mode_of(command: SearchCommand) -> SearchMode:
    """Return the mode to use; raise FieldInvalid if the command lacks what it needs."""
    has_text, has_vector = bool(command.text), bool(command.vectors)
    mode = command.mode
    if mode is None:
        if not has_text and not has_vector:
            raise invalid_field("text", "a text or a vector is needed")
        mode = SearchMode.DENSE if not has_text else SearchMode.HYBRID if has_vector else SearchMode.SPARSE
    if mode is not SearchMode.DENSE and not has_text:
        raise invalid_field("text", "keyword search needs a text")
    if mode is not SearchMode.SPARSE and not has_vector:
        raise invalid_field("vectors", "dense search needs a vector")
    if command.min_score is not None and not has_vector:
        raise invalid_field("min_score", "needs a vector")
    return mode


def _query(command: SearchCommand, mode: SearchMode, ref: CollectionRef) -> StoreQuery:
    vector = command.vectors.get(ref.space_id)
    if vector is None:
        if mode is not SearchMode.SPARSE or command.min_score is not None:
            raise SpaceMismatch(
                "no vector of the collection's embedding space was given",
                metadata={"collection": ref.scope.collection_id, "space": ref.space_id},
            )
    else:
        require_vector(ref, vector, "vectors")
    return StoreQuery(
        mode=mode,
        limit=command.limit,
        text=command.text,
        vector=vector,
        filter=command.filter,
        min_score=command.min_score,
        include_fields=command.include_fields,
    )
