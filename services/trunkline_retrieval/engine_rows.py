"""Between the port's types and the rows that cross to a worker."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import numpy as np

from trunkline_retrieval.engine.requests import ConditionKind, PointRow, WireCondition, WireFilter
from trunkline_retrieval.model import (
    AnyOf,
    Condition,
    Document,
    EmbeddedDocument,
    Equals,
    FoundDocument,
    Range,
    Scope,
    ScrollPage,
)
from trunkline_retrieval.scoping import ScopedFilter, ScopeIs, own_points


def wire_filter(scoped: ScopedFilter) -> WireFilter:
    """Return the row form of a scoped filter, boundary included."""
    return WireFilter(
        scoped.boundary.key,
        [_wire_condition(condition) for condition in scoped.must],
        [_wire_condition(condition) for condition in scoped.must_not],
    )


def point_row(scope: Scope, document: Document) -> PointRow:
    """Return a document to write; its vector goes apart."""
    point_id = str(scope.point_id(document.document_id))
    return PointRow(point_id, document.document_id, document.text, dict(document.fields))


def hit_of(row: Any) -> tuple[str, str, FoundDocument]:
    """Return a HitRow's tenant, collection and hit."""
    tenant_id, collection_id, score, document_id, text, fields = row
    return tenant_id, collection_id, FoundDocument(Document(document_id, text, fields), score)


def page_of(scope: Scope, answer: Any) -> ScrollPage:
    """Return the page of a scroll's answer."""
    rows, next_cursor = answer
    documents = own_points(scope, map(_scrolled, rows))
    return ScrollPage(tuple(documents), UUID(next_cursor) if next_cursor is not None else None)


def _scrolled(row: Any) -> tuple[str, str, EmbeddedDocument]:
    tenant_id, collection_id, document_id, text, fields, vector = row
    return (
        tenant_id,
        collection_id,
        EmbeddedDocument(Document(document_id, text, fields), np.frombuffer(vector, dtype=np.float32)),
    )


def _wire_condition(condition: ScopeIs | Condition) -> WireCondition:
    match condition:
        case ScopeIs(key):
            return (ConditionKind.SCOPE, "", key)
        case Equals(name, bool() as value):
            return (ConditionKind.IS_BOOL, name, value)
        case Equals(name, value):
            return (ConditionKind.EQUALS, name, value)
        case AnyOf(name, values):
            return (ConditionKind.ANY_OF, name, values)
        case Range(name, gte, lte):
            return (ConditionKind.RANGE, name, (gte, lte))
