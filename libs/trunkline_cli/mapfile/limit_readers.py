"""Readers of tenants' limits, labels and switches in a map file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp

from trunkline_cli.mapfile.limit_values import LIMIT_FIELDS
from trunkline_cli.mapfile.readers import Node, ValueProblem, integer, items, mapping, scalar
from trunkline_cli.stages import stage_number

MAX_OVERRIDES: Final = 8
MAX_KEY_LIMITS: Final = 32
MAX_LABELS: Final = 16
MAX_STAGES: Final = 16

_MOST: Final[Mapping[str, int]] = {
    "requests_per_minute": 10**9,
    "requests_per_day": 10**12,
    "requests_per_month": 10**13,
    "soft_percent": 100,
}
_MOST_OTHERS: Final = 10**15
"""Of tokens and money."""
_LABEL: Final = re.compile(r"[a-z0-9_-]{1,32}")


def limits(node: Node) -> dict[str, int]:
    """Read limits by name; 0 is as good as leaving one out."""
    found = _known(node, LIMIT_FIELDS, ())
    numbers = {name: integer(0, _MOST.get(name, _MOST_OTHERS))(found[name]) for name in LIMIT_FIELDS if name in found}
    return {name: number for name, number in numbers.items() if number}


def overrides(node: Node) -> list[Mapping[str, Any]]:
    """Read overrides in their order, which matters."""
    return [_override(item) for item in items(node, 0, MAX_OVERRIDES)]


def key_limits(node: Node) -> list[Mapping[str, Any]]:
    """Read limits of single credentials, in the order of the file."""
    found: list[Mapping[str, Any]] = [_key_limit(item) for item in items(node, 0, MAX_KEY_LIMITS)]
    if len({each["subject"] for each in found}) != len(found):
        raise ValueProblem(node.line, "must not name a subject twice")
    return found


def labels(node: Node) -> dict[str, str]:
    """Read labels, sorted by name."""
    found = mapping(node)
    if len(found) > MAX_LABELS:
        raise ValueProblem(node.line, f"must have at most {MAX_LABELS} entries")
    for name, item in found.items():
        if not _LABEL.fullmatch(name):
            raise ValueProblem(item.line, "a label's name has 1 to 32 characters of a-z, 0-9, _ and -")
    return {name: _line(item, 0, 64) for name, item in sorted(found.items())}


def time_zone(node: Node) -> str:
    """Read a time zone's name; whether there is one of that name is for the control role."""
    return _line(node, 0, 100)


def stages(node: Node) -> list[str]:
    """Read names of stages, sorted; whether they have a switch is for the control role."""
    found = sorted(map(_stage, items(node, 0, MAX_STAGES)))
    if len(set(found)) != len(found):
        raise ValueProblem(node.line, "must not name one twice")
    return found


def _override(node: Node) -> dict[str, Any]:
    found = _known(node, ("limits", "end", "note"), ("limits", "end"))
    values: dict[str, Any] = {"limits": limits(found["limits"]), "end": _time(found["end"])}
    note = _line(found["note"], 0, 256) if "note" in found else ""
    return values | ({"note": note} if note else {})


def _key_limit(node: Node) -> dict[str, Any]:
    names = ("requests_per_minute", "requests_per_day")
    found = _known(node, ("subject", *names), ("subject",))
    numbers = {name: integer(0, _MOST[name])(found[name]) for name in names if name in found}
    return {"subject": _line(found["subject"], 1, 128), **{name: value for name, value in numbers.items() if value}}


def _known(node: Node, allowed: tuple[str, ...], needed: tuple[str, ...]) -> dict[str, Node]:
    found = mapping(node)
    if found.keys() - set(allowed) or set(needed) - found.keys():
        must = f"must have {' and '.join(needed)}, and " if needed else ""
        raise ValueProblem(node.line, f"{must}may have {', '.join(allowed)}, nothing else")
    return found


def _line(node: Node, least: int, most: int) -> str:
    value = scalar(node)
    if not least <= len(value) <= most or not (value.isprintable() or not value):
        raise ValueProblem(node.line, f"must have {least} to {most} characters on one line")
    return value


def _time(node: Node) -> str:
    moment = Timestamp()
    try:
        moment.FromJsonString(scalar(node))
    except ValueError:
        raise ValueProblem(node.line, "must be a time such as 2026-12-31T00:00:00Z") from None
    return moment.ToJsonString()


def _stage(node: Node) -> str:
    name = scalar(node)
    try:
        stage_number(name)
    except ValueError:
        raise ValueProblem(node.line, "must be a stage, such as rerank") from None
    return name
