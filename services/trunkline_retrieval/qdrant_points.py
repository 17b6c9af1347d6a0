"""How a document lies in a Qdrant server, and filters in its terms."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from qdrant_client import models
from qdrant_edge import Bm25

from trunkline_retrieval.model import (
    AnyOf,
    CollectionRef,
    Condition,
    Document,
    EmbeddedDocument,
    Equals,
    FoundDocument,
    Range,
)
from trunkline_retrieval.scoping import ScopedFilter, ScopeIs

SCOPE: Final = "scope"
"""Payload key of `tenant/collection`, indexed as the tenant."""
TENANT: Final = "tenant"
COLLECTION: Final = "collection"
DOCUMENT_ID: Final = "id"
TEXT: Final = "text"
FIELDS: Final = "f"
KEYWORDS: Final = "keywords_bm25"
"""Name of the sparse vector. The dense vector is named by its embedding space, whose ids have no underscore."""

_bm25: Final = Bm25()
"""Made here and not by the server: the vectors are those of the embedded engine, so an export fits both."""


def to_filter(scoped: ScopedFilter) -> models.Filter:
    """Return the server's filter of a scoped filter, whose boundary stands among `must`."""
    return models.Filter(
        must=[_condition(condition) for condition in scoped.must],
        must_not=[_condition(condition) for condition in scoped.must_not] or None,
    )


def corpus(scoped: ScopedFilter) -> models.SearchParams:
    """Return parameters that take word statistics from the scope alone, not from others in the same shard."""
    return models.SearchParams(idf=models.IdfCorpusParams(corpus=models.Filter(must=[_condition(scoped.boundary)])))


def keyword_query(text: str) -> models.SparseVector:
    """Return the sparse vector of a query's text; empty if it holds nothing but stop words."""
    sparse = _bm25.embed_query(text)
    return models.SparseVector(indices=sparse.indices, values=sparse.values)


def to_point(ref: CollectionRef, embedded: EmbeddedDocument) -> models.PointStruct:
    """Return a point to write."""
    scope, document = ref.scope, embedded.document
    sparse = _bm25.embed_document(document.text)
    return models.PointStruct(
        id=str(scope.point_id(document.document_id)),
        vector={
            ref.space_id: embedded.vector.tolist(),
            KEYWORDS: models.SparseVector(indices=sparse.indices, values=sparse.values),
        },
        payload={
            SCOPE: scope.key,
            TENANT: scope.tenant_id,
            COLLECTION: scope.collection_id,
            DOCUMENT_ID: document.document_id,
            TEXT: document.text,
            FIELDS: dict(document.fields),
        },
    )


def to_hit(point: models.ScoredPoint, include: frozenset[str]) -> tuple[str, str, FoundDocument]:
    """Return a point's tenant, collection and hit, with all of its fields or those of `include`."""
    payload = point.payload or {}
    return payload[TENANT], payload[COLLECTION], FoundDocument(_document(payload, include), point.score)


def to_scrolled(record: models.Record, space_id: str) -> tuple[str, str, EmbeddedDocument]:
    """Return a record's tenant, collection and document with its vector."""
    payload = record.payload or {}
    vectors: Any = record.vector
    vector = np.array(vectors[space_id], dtype=np.float32)
    return payload[TENANT], payload[COLLECTION], EmbeddedDocument(_document(payload, frozenset()), vector)


def _document(payload: dict[str, Any], include: frozenset[str]) -> Document:
    fields = payload[FIELDS]
    if include:
        fields = {name: value for name, value in fields.items() if name in include}
    return Document(payload[DOCUMENT_ID], payload[TEXT], fields)


def _condition(condition: ScopeIs | Condition) -> models.FieldCondition:
    match condition:
        case ScopeIs(key):
            return models.FieldCondition(key=SCOPE, match=models.MatchValue(value=key))
        case Equals(name, value):
            return models.FieldCondition(key=f"{FIELDS}.{name}", match=models.MatchValue(value=value))
        case AnyOf(name, values):
            return models.FieldCondition(key=f"{FIELDS}.{name}", match=models.MatchAny(any=list(values)))
        case Range(name, gte, lte):
            return models.FieldCondition(key=f"{FIELDS}.{name}", range=models.Range(gte=gte, lte=lte))
