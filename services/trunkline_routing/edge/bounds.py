"""Bounds of the front door's requests, as the contract states them. Everything wrong is told at once."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import islice
from typing import Final

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import search_options_pb2 as options_pb
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_mesh.errors import FieldInvalid, FieldViolation
from trunkline_routing.edge.model import Vectors

MAX_TEXT_BYTES: Final = 4096
MAX_TOP_K: Final = 100
MAX_DEPTH: Final = 100
MAX_COLLECTIONS: Final = 64
MAX_FIELDS: Final = 32
MAX_CONDITIONS: Final = 16
MAX_VECTOR: Final = 4096
MAX_BATCH: Final = 16
MAX_TOKEN_BYTES: Final = 64
MAX_DECISION_ID_CHARS: Final = 512
MAX_DOCUMENTS: Final = 64
MAX_DOCUMENTS_BYTES: Final = 1 << 20
MAX_DOCUMENT_TEXT_BYTES: Final = 32768
MAX_STRING_BYTES: Final = 8192
MAX_DELETES: Final = 256

NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_CONSISTENCIES: Final = frozenset(options_pb.Consistency.values())
_FIELD: Final = re.compile(r"[a-z0-9_]{1,64}")
DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")


class Violations:
    """Collects what is wrong with a request, to tell all of it at once."""

    def __init__(self) -> None:
        """Begin without any."""
        self._found: list[FieldViolation] = []

    def check(self, ok: bool, field: str, description: str) -> None:
        """Note a violation unless `ok`."""
        if not ok:
            self._found.append(FieldViolation(field, description))

    def settle(self) -> None:
        """Raise FieldInvalid if anything was noted."""
        if self._found:
            raise FieldInvalid(violations=self._found)


def check_text(text: str, found: Violations) -> None:
    """Note a violation unless the text may be a query."""
    fits = bool(text.strip()) and (len(text) <= MAX_TEXT_BYTES // 4 or len(text.encode()) <= MAX_TEXT_BYTES)
    found.check(fits, "text", f"must be 1 to {MAX_TEXT_BYTES} bytes that are not all white space")


def check_vector(request: routing_pb.SearchRequest, found: Violations) -> Vectors:
    """Return the caller's own vector by its space, noting what is wrong with it."""
    count = len(request.vector.values)
    values = tuple(request.vector.values[:MAX_VECTOR])
    found.check(NAME.fullmatch(request.vector.space_id) is not None, "vector.space_id", "must name a space")
    found.check(1 <= count <= MAX_VECTOR, "vector.values", f"must be 1 to {MAX_VECTOR} numbers")
    found.check(all(map(math.isfinite, values)), "vector.values", "must be finite numbers")
    named = bool(request.collections) or request.all_collections
    found.check(named, "collections", "must be named where a vector is given")
    return {request.vector.space_id: values}


def check_names(names: Sequence[str], field: str, found: Violations) -> None:
    """Note violations of a list of collections."""
    found.check(len(names) <= MAX_COLLECTIONS, field, f"must be at most {MAX_COLLECTIONS}")
    found.check(all(map(NAME.fullmatch, names[:MAX_COLLECTIONS])), field, "must each be 1 to 63 of [a-z0-9-]")


def check_all(everything: bool, names: Sequence[str], found: Violations) -> None:
    """Note a violation of a request for all collections that also names some."""
    found.check(not (everything and names), "all_collections", "must not be set where collections are named")


def check_fields(names: Sequence[str], found: Violations) -> None:
    """Note violations of a list of field names."""
    found.check(len(names) <= MAX_FIELDS, "include_fields", f"must be at most {MAX_FIELDS}")
    found.check(all(map(_FIELD.fullmatch, names[:MAX_FIELDS])), "include_fields", "must each be 1 to 64 of [a-z0-9_]")


def check_consistency(value: options_pb.Consistency.ValueType, found: Violations) -> None:
    """Note a violation of a value that this version does not know: it may ask for more than it would get."""
    found.check(value in _CONSISTENCIES, "consistency", "must be a known value")


def check_decision_id(value: str, found: Violations) -> None:
    """Note a violation of an oversized id of a previous decision."""
    fits = len(value) <= MAX_DECISION_ID_CHARS
    found.check(fits, "previous_decision_id", f"must be at most {MAX_DECISION_ID_CHARS} characters")


def check_token(token: bytes, found: Violations) -> None:
    """Note a violation of an oversized map token."""
    found.check(len(token) <= MAX_TOKEN_BYTES, "map_token", f"must be at most {MAX_TOKEN_BYTES} bytes")


def check_filter(message: document_pb.Filter, found: Violations) -> None:
    """Note violations of a filter."""
    groups: tuple[tuple[str, Sequence[document_pb.Condition]], ...] = (
        ("filter.must", message.must),
        ("filter.must_not", message.must_not),
    )
    for field, conditions in groups:
        found.check(len(conditions) <= MAX_CONDITIONS, field, f"must be at most {MAX_CONDITIONS} conditions")
        for index, condition in enumerate(conditions[:MAX_CONDITIONS]):
            _condition(condition, f"{field}[{index}]", found)


def _condition(condition: document_pb.Condition, field: str, found: Violations) -> None:
    found.check(_FIELD.fullmatch(condition.field) is not None, f"{field}.field", "must be 1 to 64 of [a-z0-9_]")
    test = condition.WhichOneof("test")
    found.check(test is not None, field, "must have a test")
    if test == "equals_string":
        fits = len(condition.equals_string.encode()) <= MAX_STRING_BYTES
        found.check(fits, f"{field}.equals_string", f"must be at most {MAX_STRING_BYTES} bytes")
    if test == "any_of":
        values = condition.any_of.values
        fits = 1 <= len(values) <= 64 and all(len(value.encode()) <= 256 for value in values)
        found.check(fits, f"{field}.any_of", "must be 1 to 64 texts of at most 256 bytes")
    if test == "range":
        between = condition.range
        bounds = [between.gte] if between.HasField("gte") else []
        bounds += [between.lte] if between.HasField("lte") else []
        found.check(bool(bounds) and all(map(math.isfinite, bounds)), f"{field}.range", "needs a finite bound")


def check_document(document: document_pb.Document, field: str, found: Violations) -> None:
    """Note violations of a document."""
    id_fits = DOCUMENT_ID.fullmatch(document.document_id) is not None
    found.check(id_fits, f"{field}.document_id", "must be 1 to 128 of [A-Za-z0-9_.:/#-]")
    text_fits = bool(document.text.strip()) and len(document.text.encode()) <= MAX_DOCUMENT_TEXT_BYTES
    found.check(text_fits, f"{field}.text", f"must be 1 to {MAX_DOCUMENT_TEXT_BYTES} bytes, not all white space")
    found.check(len(document.fields) <= MAX_FIELDS, f"{field}.fields", f"must be at most {MAX_FIELDS}")
    for name, value in islice(document.fields.items(), MAX_FIELDS):
        kind = value.WhichOneof("kind")
        found.check(_FIELD.fullmatch(name) is not None, f"{field}.fields", "names must be 1 to 64 of [a-z0-9_]")
        found.check(kind is not None, f"{field}.fields", "must each have a value")
        if kind == "string_value":
            fits = len(value.string_value.encode()) <= MAX_STRING_BYTES
            found.check(fits, f"{field}.fields", f"texts must be at most {MAX_STRING_BYTES} bytes")
        if kind == "double_value":
            found.check(math.isfinite(value.double_value), f"{field}.fields", "numbers must be finite")
