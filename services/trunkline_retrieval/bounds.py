"""The contract's bounds of single fields. Every violation of a request is told at once, up to a handful."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final

from trunkline_mesh.errors import FieldInvalid, FieldViolation

MAX_COLLECTIONS: Final = 64
MAX_TEXT_BYTES: Final = 4_096
MAX_VECTORS: Final = 4
MAX_DIMENSION: Final = 4_096
MAX_LIMIT: Final = 200
MAX_CONDITIONS: Final = 16
MAX_ANY_OF: Final = 64
MAX_ANY_OF_BYTES: Final = 256
MAX_FIELDS: Final = 32
MAX_FIELD_BYTES: Final = 8_192
MAX_DOCUMENT_TEXT_BYTES: Final = 32_768
MAX_DOCUMENTS: Final = 128
MAX_UPSERT_BYTES: Final = 4 << 20
MAX_DELETE_IDS: Final = 256
MAX_PAGE_SIZE: Final = 256
MAX_MAP_TOKEN_BYTES: Final = 64

_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_FIELD_NAME: Final = re.compile(r"[a-z0-9_]{1,64}")
_DOCUMENT_ID: Final = re.compile(r"[A-Za-z0-9_.:/#-]{1,128}")

_MAX_VIOLATIONS: Final = 8
"""More are not told: the status has to stay small."""


class Violations:
    """Collects what is wrong with a request."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._found: list[FieldViolation] = []

    def require(self, holds: bool, field: str, description: str) -> bool:
        """Note a violation unless it `holds`; return whether it does."""
        if not holds and len(self._found) < _MAX_VIOLATIONS:
            self._found.append(FieldViolation(field, description))
        return holds

    def require_name(self, name: str, field: str) -> None:
        """Require the form of names in the map."""
        self.require(_NAME.fullmatch(name) is not None, field, "must be 1 to 63 characters of a-z, 0-9 and '-'")

    def require_field_name(self, name: str, field: str) -> None:
        """Require the form of a document's field names."""
        self.require(_FIELD_NAME.fullmatch(name) is not None, field, "must be 1 to 64 characters of a-z, 0-9 and '_'")

    def require_document_id(self, document_id: str, field: str) -> None:
        """Require the form of document ids."""
        self.require(
            _DOCUMENT_ID.fullmatch(document_id) is not None,
            field,
            "must be 1 to 128 characters of letters, digits and _.:/#-",
        )

    def require_count(self, count: int, least: int, most: int, field: str) -> None:
        """Require a number within inclusive bounds."""
        self.require(least <= count <= most, field, f"must be {least} to {most}")

    def require_bytes(self, text: str, least: int, most: int, field: str) -> None:
        """Require a text's size in UTF-8."""
        # A character takes at most 4 bytes, so most texts need not be encoded to know.
        fits = len(text) >= least and (4 * len(text) <= most or len(text.encode()) <= most)
        self.require(fits, field, f"must be {least} to {most} bytes")

    def require_finite(self, number: float, field: str) -> None:
        """Require a number that is neither NaN nor infinite."""
        self.require(math.isfinite(number), field, "must be a finite number")

    def require_distinct(self, values: Iterable[str], field: str) -> None:
        """Require that no value comes twice."""
        listed = list(values)
        self.require(len(set(listed)) == len(listed), field, "must be distinct")

    def require_map_token(self, token: bytes) -> None:
        """Require the size of map tokens."""
        self.require(len(token) <= MAX_MAP_TOKEN_BYTES, "map_token", f"must be at most {MAX_MAP_TOKEN_BYTES} bytes")

    def raise_if_any(self) -> None:
        """Raise FieldInvalid for what was found."""
        if self._found:
            raise FieldInvalid(violations=self._found)
