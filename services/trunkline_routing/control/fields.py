"""Bounds of the contract's fields, collected so that one answer names every violation."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from trunkline_mesh.errors import FieldInvalid, FieldViolation

MAX_JURISDICTIONS: Final = 16
MAX_ENDPOINTS: Final = 16
MAX_ENDPOINT_BYTES: Final = 261
"""A DNS name of 253 characters, a colon, a port, and brackets to spare."""

_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_JURISDICTION: Final = re.compile(r"[a-z0-9-]{1,16}")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}")
_ENDPOINT: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


class Fields:
    """Collects violations; `check` raises them together."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` stands before every field's name, for example `collection.`."""
        self._prefix = prefix
        self._violations: list[FieldViolation] = []

    def require(self, holds: bool, field: str, description: str) -> None:
        """Note a violation unless the condition holds."""
        if not holds:
            self._violations.append(FieldViolation(self._prefix + field, description))

    def name(self, field: str, value: str) -> None:
        """A name of the map: 1 to 63 characters `[a-z0-9-]`."""
        self.require(bool(_NAME.fullmatch(value)), field, "must be 1 to 63 characters of a-z, 0-9 and -")

    def model(self, field: str, value: str) -> None:
        """A model's id or revision: 1 to 128 characters."""
        allowed = "must be 1 to 128 characters of letters, digits and . _ / : -, beginning with a letter or digit"
        self.require(bool(_MODEL.fullmatch(value)), field, allowed)

    def jurisdiction(self, field: str, value: str) -> None:
        """A jurisdiction: 1 to 16 characters `[a-z0-9-]`."""
        self.require(bool(_JURISDICTION.fullmatch(value)), field, "must be 1 to 16 characters of a-z, 0-9 and -")

    def jurisdictions(self, field: str, values: Sequence[str], *, least: int) -> None:
        """A set of jurisdictions, `least` to 16."""
        self.size(field, len(values), least, MAX_JURISDICTIONS)
        for index, value in enumerate(values[:MAX_JURISDICTIONS]):
            self.jurisdiction(f"{field}[{index}]", value)

    def names(self, field: str, values: Sequence[str], *, most: int) -> None:
        """Distinct names, 1 to `most`."""
        self.size(field, len(values), 1, most)
        self.require(len(set(values)) == len(values), field, "must not name one twice")
        for index, value in enumerate(values[:most]):
            self.name(f"{field}[{index}]", value)

    def endpoints(self, field: str, values: Sequence[str]) -> None:
        """Addresses `host:port`, at most 16."""
        self.size(field, len(values), 0, MAX_ENDPOINTS)
        for index, value in enumerate(values[:MAX_ENDPOINTS]):
            self.require(_is_endpoint(value), f"{field}[{index}]", "must be host:port")

    def store_endpoint(self, field: str, value: str) -> None:
        """Address of a vector store: `host:port`, or `engine:NAME` for an embedded one."""
        scheme, _, name = value.partition(":")
        holds = bool(_NAME.fullmatch(name)) if scheme == "engine" else _is_endpoint(value)
        self.require(holds, field, "must be host:port or engine:NAME")

    def size(self, field: str, size: int, least: int, most: int) -> None:
        """Entries of a list."""
        self.require(least <= size <= most, field, f"must have {least} to {most} entries")

    def between(self, field: str, value: int, least: int, most: int) -> None:
        """A number."""
        self.require(least <= value <= most, field, f"must be {least} to {most}")

    def utf8(self, field: str, value: str, most_bytes: int) -> None:
        """A text's size in bytes."""
        self.require(len(value.encode()) <= most_bytes, field, f"must be at most {most_bytes} bytes")

    def chars(self, field: str, value: str, least: int, most: int) -> None:
        """A text on one line, of `least` to `most` characters that can be shown."""
        holds = least <= len(value) <= most and (value.isprintable() or not value)
        self.require(holds, field, f"must be {least} to {most} characters on one line")

    def revision(self, value: int) -> None:
        """A revision that must be current; 0 means none."""
        self.require(value >= 0, "revision", "must not be negative")

    def check(self) -> None:
        """Raise FieldInvalid if anything was noted."""
        if self._violations:
            raise FieldInvalid(violations=self._violations)


def _is_endpoint(value: str) -> bool:
    found = _ENDPOINT.fullmatch(value) if len(value) <= MAX_ENDPOINT_BYTES else None
    return found is not None and 0 < int(found[1]) < 65536
