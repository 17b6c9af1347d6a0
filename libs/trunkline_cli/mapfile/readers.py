"""Readers of a map file's values. They go by what the schema expects, not by YAML's guesses: `no` is a jurisdiction."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

MAX_STORES: Final = 64
MAX_ENDPOINTS: Final = 16
MAX_ENDPOINT_CHARS: Final = 261

_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_JURISDICTION: Final = re.compile(r"[a-z0-9-]{1,16}")
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:-]{0,127}")
_ENDPOINT: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_STORE_ENDPOINT: Final = re.compile(r"engine:[a-z0-9-]{1,63}|(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")
_NUMBER: Final = re.compile(r"\d{1,15}(?:\.\d{1,9})?")


class Node(NamedTuple):
    """A value of the file and the line on which it begins, from 1."""

    line: int
    value: str | list[Node] | dict[str, Node]


class ValueProblem(Exception):  # noqa: N818  # a problem of the file, gathered with others; no failure of ours
    """A value is not what its field may be."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


Reader = Callable[[Node], Any]
"""Returns a field's value; raises ValueProblem."""


def scalar(node: Node) -> str:
    """Read one value as the text that stands there."""
    if not isinstance(node.value, str):
        raise ValueProblem(node.line, "must be one value")
    return node.value


def items(node: Node, least: int, most: int) -> list[Node]:
    """Read a list."""
    if not isinstance(node.value, list):
        raise ValueProblem(node.line, "must be a list")
    if not least <= len(node.value) <= most:
        raise ValueProblem(node.line, f"must have {least} to {most} entries")
    return node.value


def mapping(node: Node) -> dict[str, Node]:
    """Read a mapping."""
    if not isinstance(node.value, dict):
        raise ValueProblem(node.line, "must be a mapping")
    return node.value


def name(node: Node) -> str:
    """Read a name of the map."""
    value = scalar(node)
    if not _NAME.fullmatch(value):
        raise ValueProblem(node.line, "must be 1 to 63 characters of a-z, 0-9 and -")
    return value


def jurisdiction(node: Node) -> str:
    """Read a jurisdiction."""
    value = scalar(node)
    if not _JURISDICTION.fullmatch(value):
        raise ValueProblem(node.line, "must be 1 to 16 characters of a-z, 0-9 and -")
    return value


def model(node: Node) -> str:
    """Read a model's id or revision."""
    value = scalar(node)
    if not _MODEL.fullmatch(value):
        allowed = "letters, digits and . _ / : -, beginning with a letter or digit"
        raise ValueProblem(node.line, f"must be 1 to 128 characters of {allowed}")
    return value


def text(most_bytes: int, *, least: int = 1) -> Reader:
    """Return the reader of a text of `least` to `most_bytes` bytes of UTF-8."""

    def read(node: Node) -> str:
        value = scalar(node)
        if not least <= len(value.encode()) <= most_bytes:
            raise ValueProblem(node.line, f"must have {least} to {most_bytes:,} bytes")
        return value

    return read


def integer(least: int, most: int) -> Reader:
    """Return the reader of a whole number."""

    def read(node: Node) -> int:
        value = scalar(node)
        number = int(value) if value.isascii() and value.isdigit() and len(value) < 16 else None
        if number is None or not least <= number <= most:
            raise ValueProblem(node.line, f"must be a number from {least} to {most:,}")
        return number

    return read


def seconds(most: float) -> Reader:
    """Return the reader of a time in seconds, to the nanosecond."""

    def read(node: Node) -> float:
        value = scalar(node)
        if not _NUMBER.fullmatch(value) or float(value) > most:
            raise ValueProblem(node.line, f"must be a number of seconds from 0 to {most:,g}")
        return float(value)

    return read


def choice(allowed: Sequence[str]) -> Reader:
    """Return the reader of one of several words."""

    def read(node: Node) -> str:
        value = scalar(node)
        if value not in allowed:
            raise ValueProblem(node.line, f"must be one of {', '.join(allowed)}")
        return value

    return read


def names(least: int, most: int, read_one: Callable[[Node], str] = name) -> Reader:
    """Return the reader of distinct names whose order matters."""

    def read(node: Node) -> list[str]:
        found = [read_one(item) for item in items(node, least, most)]
        if len(set(found)) != len(found):
            raise ValueProblem(node.line, "must not name one twice")
        return found

    return read


def jurisdictions(least: int, most: int) -> Reader:
    """Return the reader of distinct jurisdictions, whose order does not matter."""
    read = names(least, most, jurisdiction)
    return lambda node: sorted(read(node))


def name_map(most: int) -> Reader:
    """Return the reader of a mapping from names to names."""

    def read(node: Node) -> dict[str, str]:
        found = mapping(node)
        if len(found) > most:
            raise ValueProblem(node.line, f"must have at most {most} entries")
        return {name(Node(item.line, key)): name(item) for key, item in sorted(found.items())}

    return read


def endpoints(kinds: Sequence[str]) -> Reader:
    """Return the reader of addresses by kind of service; kinds without an address are left out."""

    def read(node: Node) -> dict[str, list[str]]:
        found = mapping(node)
        unknown = found.keys() - set(kinds)
        if unknown:
            raise ValueProblem(node.line, f"has no {', '.join(sorted(unknown))}, but {', '.join(kinds)}")
        lists = {
            kind: [_endpoint(item, _ENDPOINT) for item in items(found[kind], 0, MAX_ENDPOINTS)]
            for kind in kinds
            if kind in found
        }
        return {kind: addresses for kind, addresses in lists.items() if addresses}

    return read


def stores(node: Node) -> list[Mapping[str, str]]:
    """Read a region's stores, in the order of their names."""
    found = [_store(item) for item in items(node, 0, MAX_STORES)]
    if len({store["store_id"] for store in found}) != len(found):
        raise ValueProblem(node.line, "must not name one twice")
    return sorted(found, key=lambda store: store["store_id"])


def _store(node: Node) -> dict[str, str]:
    found = mapping(node)
    unknown = found.keys() - {"store_id", "endpoint", "tenant_id"}
    missing = {"store_id", "endpoint"} - found.keys()
    if unknown or missing:
        raise ValueProblem(node.line, "a store has store_id, endpoint and perhaps tenant_id, nothing else")
    store = {"store_id": name(found["store_id"]), "endpoint": _endpoint(found["endpoint"], _STORE_ENDPOINT)}
    if "tenant_id" in found:
        store["tenant_id"] = name(found["tenant_id"])
    return store


def _endpoint(node: Node, allowed: re.Pattern[str]) -> str:
    value = scalar(node)
    if len(value) > MAX_ENDPOINT_CHARS or not allowed.fullmatch(value):
        raise ValueProblem(node.line, "must be host:port")
    return value
