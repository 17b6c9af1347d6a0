"""Requests to commands: bounds of single fields are checked here, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import numpy as np

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline_retrieval import bounds
from trunkline_retrieval.bounds import Violations
from trunkline_retrieval.export import ExportCommand
from trunkline_retrieval.model import Document, EmbeddedDocument, FieldScalar, SearchMode, Vector
from trunkline_retrieval.parsing_filter import parse_filter
from trunkline_retrieval.search import SearchCommand
from trunkline_retrieval.vectors import is_finite
from trunkline_retrieval.write import DeleteCommand, UpsertCommand

DEFAULT_PAGE_SIZE: Final = 128

_MODES: Final[dict[int, SearchMode | None]] = {
    retrieval_pb.RETRIEVAL_MODE_UNSPECIFIED: None,
    retrieval_pb.RETRIEVAL_MODE_HYBRID: SearchMode.HYBRID,
    retrieval_pb.RETRIEVAL_MODE_DENSE: SearchMode.DENSE,
    retrieval_pb.RETRIEVAL_MODE_SPARSE: SearchMode.SPARSE,
}


def parse_search(request: retrieval_pb.SearchRequest, tenant_id: str) -> SearchCommand:
    """Return the command of a search; raise FieldInvalid."""
    violations = Violations()
    collections = list(request.collections)
    if violations.require(0 < len(collections) <= bounds.MAX_COLLECTIONS, "collections", "must be 1 to 64 names"):
        for index, name in enumerate(collections):
            violations.require_name(name, f"collections[{index}]")
    violations.require_bytes(request.text, 0, bounds.MAX_TEXT_BYTES, "text")
    violations.require_count(request.limit, 1, bounds.MAX_LIMIT, "limit")
    violations.require(request.mode in _MODES, "mode", "must be a known mode")
    if request.HasField("min_score"):
        violations.require_finite(request.min_score, "min_score")
    violations.require_map_token(request.map_token)
    command = SearchCommand(
        tenant_id=tenant_id,
        collections=collections,
        limit=request.limit,
        text=request.text,
        vectors=_query_vectors(request.vectors, violations),
        mode=_MODES.get(request.mode),
        filter=parse_filter(request.filter, violations),
        min_score=request.min_score if request.HasField("min_score") else None,
        include_fields=_include_fields(request, violations),
        map_token=request.map_token,
        allow_partial=request.allow_partial,
    )
    violations.raise_if_any()
    return command


def parse_upsert(request: retrieval_pb.UpsertRequest, tenant_id: str) -> UpsertCommand:
    """Return the command of a write; raise FieldInvalid."""
    violations = Violations()
    violations.require_name(request.collection, "collection")
    violations.require_name(request.space_id, "space_id")
    violations.require_map_token(request.map_token)
    violations.require_count(len(request.documents), 1, bounds.MAX_DOCUMENTS, "documents")
    violations.require(request.ByteSize() <= bounds.MAX_UPSERT_BYTES, "documents", "must be at most 4 MiB together")
    violations.raise_if_any()  # before work is spent on each of too many
    violations.require_distinct((item.document.document_id for item in request.documents), "documents.document_id")
    documents = [
        EmbeddedDocument(
            _document(item.document, f"documents[{index}].document", violations),
            _vector(item.values, f"documents[{index}].values", violations),
        )
        for index, item in enumerate(request.documents)
    ]
    violations.raise_if_any()
    return UpsertCommand(tenant_id, request.collection, request.space_id, documents, request.map_token)


def parse_delete(request: retrieval_pb.DeleteRequest, tenant_id: str) -> DeleteCommand:
    """Return the command of a deletion; raise FieldInvalid."""
    violations = Violations()
    violations.require_name(request.collection, "collection")
    violations.require_map_token(request.map_token)
    document_ids = list(request.document_ids)
    if violations.require(0 < len(document_ids) <= bounds.MAX_DELETE_IDS, "document_ids", "must be 1 to 256 ids"):
        for index, document_id in enumerate(document_ids):
            violations.require_document_id(document_id, f"document_ids[{index}]")
    violations.raise_if_any()
    return DeleteCommand(tenant_id, request.collection, document_ids, request.map_token)


def parse_export(request: retrieval_pb.ExportRequest, tenant_id: str) -> ExportCommand:
    """Return the command of an export; raise FieldInvalid."""
    violations = Violations()
    violations.require_name(request.collection, "collection")
    violations.require_map_token(request.map_token)
    violations.require_count(request.page_size, 0, bounds.MAX_PAGE_SIZE, "page_size")
    cursor = _cursor(request.cursor)
    violations.require(not request.cursor or cursor is not None, "cursor", "must be a cursor of an earlier response")
    violations.raise_if_any()
    return ExportCommand(
        tenant_id, request.collection, cursor, request.page_size or DEFAULT_PAGE_SIZE, request.map_token
    )


def _query_vectors(messages: Iterable[vector_pb.QueryVector], violations: Violations) -> dict[str, Vector]:
    listed = list(messages)
    if not violations.require(len(listed) <= bounds.MAX_VECTORS, "vectors", f"at most {bounds.MAX_VECTORS}"):
        return {}
    violations.require_distinct((message.space_id for message in listed), "vectors.space_id")
    vectors: dict[str, Vector] = {}
    for index, message in enumerate(listed):
        violations.require_name(message.space_id, f"vectors[{index}].space_id")
        vectors[message.space_id] = _vector(message.values, f"vectors[{index}].values", violations)
    return vectors


def _include_fields(request: retrieval_pb.SearchRequest, violations: Violations) -> frozenset[str]:
    names = list(request.include_fields)
    if violations.require(len(names) <= bounds.MAX_FIELDS, "include_fields", f"at most {bounds.MAX_FIELDS}"):
        for index, name in enumerate(names):
            violations.require_field_name(name, f"include_fields[{index}]")
    return frozenset(names)


def _document(message: document_pb.Document, path: str, violations: Violations) -> Document:
    violations.require_document_id(message.document_id, f"{path}.document_id")
    violations.require_bytes(message.text, 1, bounds.MAX_DOCUMENT_TEXT_BYTES, f"{path}.text")
    fields: dict[str, FieldScalar] = {}
    if violations.require(len(message.fields) <= bounds.MAX_FIELDS, f"{path}.fields", f"at most {bounds.MAX_FIELDS}"):
        for name, value in message.fields.items():
            violations.require_field_name(name, f"{path}.fields")
            fields[name] = _field_value(value, f"{path}.fields", violations)
    return Document(message.document_id, message.text, fields)


def _field_value(message: document_pb.FieldValue, path: str, violations: Violations) -> FieldScalar:
    match message.WhichOneof("kind"):
        case "string_value":
            violations.require_bytes(message.string_value, 0, bounds.MAX_FIELD_BYTES, path)
            return message.string_value
        case "int_value":
            return message.int_value
        case "double_value":
            violations.require_finite(message.double_value, path)
            return message.double_value
        case "bool_value":
            return message.bool_value
        case _:
            violations.require(False, path, "exactly one kind must be set")
            return ""


def _vector(values: Iterable[float], path: str, violations: Violations) -> Vector:
    vector: Vector = np.fromiter(values, dtype=np.float32)
    if violations.require(0 < len(vector) <= bounds.MAX_DIMENSION, path, "must be 1 to 4096 numbers"):
        violations.require(is_finite(vector), path, "must hold finite numbers")
    return vector


def _cursor(text: str) -> UUID | None:
    try:
        cursor = UUID(text)
    except ValueError:
        return None
    return cursor if str(cursor) == text else None  # UUID reads other spellings too
