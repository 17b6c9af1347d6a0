"""Bodies of the worker's requests, as named tuples that msgpack carries as plain arrays.

Vectors are raw float32 bytes in the machine's byte order: both ends share the machine.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

WireCondition: TypeAlias = tuple[int, str, Any]
"""A condition: (ConditionKind, field name, argument)."""


class ConditionKind(IntEnum):
    """What a condition tests."""

    SCOPE = 0
    """Argument: scope key. The field name is empty."""
    EQUALS = 1
    """Argument: text or whole number."""
    IS_BOOL = 2
    """Argument: truth value."""
    ANY_OF = 3
    """Argument: texts."""
    RANGE = 4
    """Argument: (lower bound or None, upper bound or None)."""


class Place(NamedTuple):
    """Which physical collection, and what it must hold."""

    physical_name: str
    space_id: str
    dimension: int


class WireFilter(NamedTuple):
    """A scoped filter."""

    scope_key: str
    must: list[WireCondition]
    """Holds the scope's own test."""
    must_not: list[WireCondition]


class PointRow(NamedTuple):
    """One document to write."""

    point_id: str
    document_id: str
    text: str
    fields: dict[str, Any]


class UpsertBody(NamedTuple):
    """Documents of one scope."""

    place: Place
    scope_key: str
    tenant_id: str
    collection_id: str
    rows: list[PointRow]
    vectors: bytes
    """The rows' vectors one after the other."""


class DeleteBody(NamedTuple):
    """Points to delete."""

    place: Place
    point_ids: list[str]


class SearchBody(NamedTuple):
    """One query of one or several scopes. The answer is a list of HitRow for each."""

    place: Place
    filters: list[WireFilter]
    """One for each scope."""
    mode: int
    text: str
    vector: bytes
    limit: int
    min_score: float | None
    include_fields: list[str] | None


class HitRow(NamedTuple):
    """One document that was found."""

    tenant_id: str
    collection_id: str
    score: float
    document_id: str
    text: str
    fields: dict[str, Any]


class ScrollBody(NamedTuple):
    """A page to read. The answer is (rows of ScrollRow, next point id or None)."""

    place: Place
    filter: WireFilter
    cursor: str | None
    limit: int


class ScrollRow(NamedTuple):
    """One document of a page."""

    tenant_id: str
    collection_id: str
    document_id: str
    text: str
    fields: dict[str, Any]
    vector: bytes


class CountBody(NamedTuple):
    """Points to count. The answer is a number."""

    place: Place
    filter: WireFilter
