"""How a document lies in the engine: payload keys, vector names and the conversions both ways."""

from __future__ import annotations

from array import array
from typing import Any, Final

from qdrant_edge import Bm25, Point, Record

from trunkline_retrieval.engine.requests import HitRow, PointRow, ScrollRow, UpsertBody

SCOPE: Final = "scope"
"""Payload key of `tenant/collection`, indexed: one condition on it takes half the time of one on each part."""
TENANT: Final = "tenant"
COLLECTION: Final = "collection"
DOCUMENT_ID: Final = "id"
TEXT: Final = "text"
FIELDS: Final = "f"
"""Payload key of the document's fields."""
FLAGS: Final = "flags"
"""Payload key of the truth values among them, as texts `name=true`: the engine's Python binding turns True into the
whole number 1 (qdrant-edge-py 0.9.0, MatchValue), so they could not be told apart in a filter."""
KEYWORDS: Final = "keywords_bm25"
"""Name of the sparse vector. The dense vector is named by its embedding space, whose ids have no underscore."""

bm25: Final = Bm25()
"""English tokens, k1 = 1.2, b = 0.75; the same vectors as a Qdrant server's own."""


def floats(raw: bytes) -> list[float]:
    """Return the numbers of raw float32 bytes."""
    return array("f", raw).tolist()


def flag(name: str, value: bool) -> str:
    """Return the text that stands for a truth value among the flags."""
    return f"{name}={'true' if value else 'false'}"


def to_points(body: UpsertBody) -> list[Point]:
    """Return the engine's points of an upsert."""
    space_id, dimension = body.place.space_id, body.place.dimension
    numbers = floats(body.vectors)
    points = []
    for index, raw in enumerate(body.rows):
        row = PointRow(*raw)
        vector = numbers[index * dimension : (index + 1) * dimension]
        points.append(
            Point(row.point_id, {space_id: vector, KEYWORDS: bm25.embed_document(row.text)}, _payload(body, row))
        )
    return points


def _payload(body: UpsertBody, row: PointRow) -> dict[str, Any]:
    payload: dict[str, Any] = {
        SCOPE: body.scope_key,
        TENANT: body.tenant_id,
        COLLECTION: body.collection_id,
        DOCUMENT_ID: row.document_id,
        TEXT: row.text,
        FIELDS: row.fields,
    }
    flags = [flag(name, value) for name, value in row.fields.items() if isinstance(value, bool)]
    if flags:
        payload[FLAGS] = flags
    return payload


def to_hit(payload: dict[str, Any], score: float, include: list[str] | None) -> HitRow:
    """Return a hit with all of its fields, or those of `include`."""
    fields = payload[FIELDS]
    if include is not None:
        fields = {name: fields[name] for name in include if name in fields}
    return HitRow(payload[TENANT], payload[COLLECTION], score, payload[DOCUMENT_ID], payload[TEXT], fields)


def to_scroll_row(record: Record, space_id: str) -> ScrollRow:
    """Return a record with its vector."""
    payload = record.payload or {}
    vectors: Any = record.vector
    return ScrollRow(
        payload[TENANT],
        payload[COLLECTION],
        payload[DOCUMENT_ID],
        payload[TEXT],
        payload[FIELDS],
        array("f", vectors[space_id]).tobytes(),
    )
