"""Use case: find documents in one or several collections of a tenant."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, SpaceMismatch, invalid_field, reason_name
from trunkline_mesh.metrics import counter
from trunkline_retrieval.budget import until_store
from trunkline_retrieval.model import CollectionRef, Filter, FoundDocument, SearchMode, StoreQuery, Vector
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.store import VectorStore
from trunkline_retrieval.vectors import require_vector

AT_ONCE_PER_STORE: Final = 8
"""Physical collections of one store that one search asks at once: it leaves room for others."""
TOGETHER: Final = 8
"""Collections of one physical collection that are asked for in one round trip. More would save little, and hold up an
engine's other callers for longer."""

_LEFT_OUT: Final = counter("retrieval_left_out", "Collections left out of a partial answer, by reason.", ("reason",))


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
    allow_partial: bool = False
    """True to get the others where a collection cannot be searched."""


@dataclass(frozen=True, slots=True)
class CollectionHits:
    """One collection's documents, best first, and how they were found."""

    collection_id: str
    mode: SearchMode
    hits: Sequence[FoundDocument]
    error: DomainError | None = None
    """Why the collection could not be searched."""


class _Planned(NamedTuple):
    """One collection's search, ready to be sent."""

    ref: CollectionRef
    query: StoreQuery


_Outcome: TypeAlias = Sequence[FoundDocument] | DomainError
"""What became of one collection."""


class Search:
    """Searches the collections of a request at the same time, a bounded number of each store's.

    One that fails fails the request, unless the command allows partial answers: then it is named with its error.
    """

    def __init__(self, placements: Placements, store: VectorStore) -> None:
        """Search `store`, where `placements` allows it."""
        self._placements = placements
        self._store = store

    async def run(self, command: SearchCommand, deadline: Deadline) -> list[CollectionHits]:
        """Return each collection's hits, in the command's order.

        Raises FieldInvalid for a mode that lacks its text or vector, SpaceMismatch for vectors that are not of the
        collections' spaces, and what Placements.resolve and VectorStore.search raise. With `allow_partial` what speaks
        of one collection alone stands in its `error` instead.
        """
        mode = _mode_of(command)
        refs = await self._refs(command, deadline)
        planned = [_plan(command, mode, ref) for ref in refs]
        spaces = {ref.space_id for ref in refs if isinstance(ref, CollectionRef)}
        if not command.vectors.keys() <= spaces and not any(isinstance(ref, DomainError) for ref in refs):
            raise SpaceMismatch("a vector is of an embedding space that none of the collections has")
        until = until_store(deadline)
        if len(planned) == 1 and isinstance(planned[0], _Planned):
            outcomes = list(await self._together((planned[0],), until, partial=command.allow_partial))
        else:
            outcomes = await self._all(planned, until, partial=command.allow_partial)
        return [_hits(name, mode, outcome) for name, outcome in zip(command.collections, outcomes, strict=True)]

    async def _refs(self, command: SearchCommand, deadline: Deadline) -> Sequence[CollectionRef | DomainError]:
        resolve = self._placements.resolve_each if command.allow_partial else self._placements.resolve
        return await resolve(command.tenant_id, command.collections, command.map_token, deadline)

    async def _all(
        self, planned: Sequence[_Planned | DomainError], until: Deadline, *, partial: bool
    ) -> list[_Outcome]:
        """Search them side by side. The first failure ends the others, unless partial answers are allowed."""
        outcomes: dict[int, _Outcome] = {}
        shelves: defaultdict[tuple[str, str, str, int], list[tuple[int, _Planned]]] = defaultdict(list)
        for index, one in enumerate(planned):
            if isinstance(one, _Planned):
                shelves[one.ref.shelf].append((index, one))
            else:
                outcomes[index] = one
        lanes: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(AT_ONCE_PER_STORE))

        async def in_turn(store: str, shelf: Sequence[tuple[int, _Planned]]) -> None:
            async with lanes[store]:
                for start in range(0, len(shelf), TOGETHER):
                    indexes, part = zip(*shelf[start : start + TOGETHER], strict=True)
                    outcomes.update(zip(indexes, await self._together(part, until, partial=partial), strict=True))

        async with asyncio.TaskGroup() as group:
            for (store, *_), shelf in shelves.items():
                group.create_task(in_turn(store, shelf))
        return [outcomes[index] for index in range(len(planned))]

    async def _together(self, planned: Sequence[_Planned], until: Deadline, *, partial: bool) -> Sequence[_Outcome]:
        """Search collections of one physical collection, for which the query is the same, in one round trip."""
        first = planned[0]
        try:
            if len(planned) == 1:
                return (await self._store.search(first.ref, first.query, until),)
            return await self._store.search_many([one.ref for one in planned], first.query, until)
        except DomainError as failure:
            if not partial:
                raise
            return [failure] * len(planned)


def _hits(collection_id: str, mode: SearchMode, outcome: _Outcome) -> CollectionHits:
    if isinstance(outcome, DomainError):
        _LEFT_OUT.labels(reason_name(outcome.reason)).inc()
        return CollectionHits(collection_id, mode, (), outcome)
    return CollectionHits(collection_id, mode, outcome)


def _plan(command: SearchCommand, mode: SearchMode, ref: CollectionRef | DomainError) -> _Planned | DomainError:
    """Return the search of a collection, or why there is none; raises it where partial answers are not allowed.

    A number of a vector that is not finite refuses the command as a whole: it is the caller's, whatever it searches.
    """
    if isinstance(ref, DomainError):
        return ref
    try:
        return _Planned(ref, _query(command, mode, ref))
    except SpaceMismatch as refusal:
        if not command.allow_partial:
            raise
        return refusal


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
