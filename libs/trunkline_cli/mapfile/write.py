"""Writes a map file: one entry at a time, in a stable order, texts quoted where YAML would guess something else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from trunkline_cli.mapfile.schema import FIELDS, FORMAT, EntryKind, Values

_PLAIN: Final = re.compile(r"[a-z][a-z0-9-]*")
# YAML 1.1 reads these as truth values or nothing.
_RESERVED: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_ESCAPED: Final = re.compile('["\\\\]|[^ -~\u00a0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]')
_SHORT: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


class MapFileWriter:
    """Writes comments and entries to a stream, kind by kind in the order of `EntryKind`."""

    def __init__(self, stream: IO[str], comments: Sequence[str] = ()) -> None:
        """Begin the file; each comment is a line of its own."""
        self._stream = stream
        self._kind: EntryKind | None = None
        stream.writelines(f"# {' '.join(comment.split())}\n" for comment in comments)
        stream.write(f"version: {FORMAT}\n")

    def entry(self, kind: EntryKind, values: Values) -> None:
        """Write one entry; fields that have their default are left out, states never."""
        if kind is not self._kind:
            self._stream.write(f"{kind.section}:\n")
            self._kind = kind
        lines = [
            f"{field.name}: {_value(values[field.name])}"
            for field in FIELDS[kind]
            if field.default is None or values[field.name] != field.default
        ]
        self._stream.write("- " + "\n  ".join(lines) + "\n")


def _value(value: Any) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)}: {_value(item)}" for key, item in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return f"{value:.9f}".rstrip("0").rstrip(".")
    return str(value)


def _text(value: str) -> str:
    """Return a text as YAML: plain where every reader takes it for a text, else in double quotes."""
    if _PLAIN.fullmatch(value) and value not in _RESERVED:
        return value
    return f'"{_ESCAPED.sub(_escape, value)}"'


def _escape(found: re.Match[str]) -> str:
    char = found.group()
    return _SHORT.get(char) or (f"\\u{ord(char):04x}" if ord(char) > 0xFF else f"\\x{ord(char):02x}")
