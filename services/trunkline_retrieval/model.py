"""Plain types of the retrieval service: what use cases and the storage port speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias
from uuid import UUID, uuid5

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float32]
"""One dense vector: one axis, finite values."""

FieldScalar: TypeAlias = str | int | float | bool
"""One value of a document's field."""

_POINTS_NAMESPACE = UUID("6f1d3f0e-5d0b-5a57-9a0e-7c1b5e0f2a11")
"""Namespace of the point ids. Changing it orphans every stored point."""


class SearchMode(IntEnum):
    """How results are found."""

    HYBRID = 1
    DENSE = 2
    SPARSE = 3


@dataclass(frozen=True, slots=True)
class Equals:
    """The field is this value, of this type: the whole number 1 is neither the text "1" nor True."""

    name: str
    value: str | int | bool


@dataclass(frozen=True, slots=True)
class AnyOf:
    """The field is one of these texts."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number within these inclusive bounds; at least one is set."""

    name: str
    gte: float | None
    lte: float | None


Condition: TypeAlias = Equals | AnyOf | Range
"""One test of one field. A document without the field does not pass it."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Which documents may be found: all of `must` pass and none of `must_not`."""

    must: tuple[Condition, ...] = ()
    must_not: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose documents: one collection of one tenant. The boundary that every read and write stays within."""

    tenant_id: str
    collection_id: str

    def __post_init__(self) -> None:
        """Refuse an empty part, which would mean everybody's documents, and the separator inside one."""
        for part in (self.tenant_id, self.collection_id):
            if not part or "/" in part:
                raise ValueError("a scope needs a tenant and a collection, without '/'")

    @property
    def key(self) -> str:
        """Both ids in one text; no two scopes share it, because neither id may hold a `/`."""
        return f"{self.tenant_id}/{self.collection_id}"

    def point_id(self, document_id: str) -> UUID:
        """Return the point id of a document, unique also where several scopes share a physical collection."""
        return uuid5(_POINTS_NAMESPACE, f"{self.key}/{document_id}")


@dataclass(frozen=True, slots=True)
class CollectionRef:
    """Where a scope's points lie and which vectors they carry."""

    scope: Scope
    physical_name: str
    """Name in the store; shared by several scopes or not."""
    space_id: str
    """Embedding space of the physical collection's vectors."""
    dimension: int
    """Numbers in each vector, 1 to 4,096."""
    store: str = ""
    """Endpoint of the store that holds it, `host:port` or `engine:NAME`; empty for the region's default store."""

    @property
    def shelf(self) -> tuple[str, str, str, int]:
        """What it shares with the collections that may be searched together with it."""
        return self.store, self.physical_name, self.space_id, self.dimension


def require_one_shelf(refs: Sequence[CollectionRef]) -> CollectionRef:
    """Return the first of the references; raise ValueError unless all lie in its physical collection."""
    if len({ref.shelf for ref in refs}) != 1:
        raise ValueError("collections of one physical collection are searched together, and no others")
    return refs[0]


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text with its fields."""

    document_id: str
    text: str
    fields: Mapping[str, FieldScalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedDocument:
    """A document with its vector."""

    document: Document
    vector: Vector


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A document that a search found."""

    document: Document
    score: float
    """Cosine similarity, BM25 or the sum of reciprocal ranks, by the query's mode."""


@dataclass(frozen=True, slots=True, eq=False)
class StoreQuery:
    """What to find in one collection. `text` is used by keyword search, `vector` by dense search."""

    mode: SearchMode
    limit: int
    text: str = ""
    vector: Vector | None = None
    filter: Filter = field(default_factory=Filter)
    min_score: float | None = None
    """Documents of lower cosine similarity are left out; needs a vector, in every mode."""
    include_fields: frozenset[str] = frozenset()
    """Fields to return; empty returns all."""

    def __post_init__(self) -> None:
        """Refuse a query that its mode cannot answer."""
        if self.limit < 1:
            raise ValueError("limit must be positive")
        if self.vector is None and (self.mode is not SearchMode.SPARSE or self.min_score is not None):
            raise ValueError("dense search and a minimum score need a vector")


@dataclass(frozen=True, slots=True)
class ScrollPage:
    """Some documents of a collection, in the order of their point ids."""

    documents: tuple[EmbeddedDocument, ...]
    next_cursor: UUID | None
    """Point id to go on at; None on the last page."""
