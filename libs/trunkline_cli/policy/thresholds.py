"""Thresholds as YAML, and how they come into a policy's text without touching anything else of it."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from trunkline_cli.exits import CliError
from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.document import parse_policy
from trunkline_policy.model import Thresholds

_KEY = "thresholds"


def thresholds_text(thresholds: Thresholds) -> str:
    """Return the thresholds as the part of a policy that they are, to four digits."""
    lines = [f"{_KEY}:", *(f"  {name}: {value:g}" for name, value in _rounded(thresholds).items())]
    return "\n".join(lines) + "\n"


def written_into(text: str, thresholds: Thresholds) -> str:
    """Return a policy's text with these thresholds in the place of its own; comments and layout stay.

    Raises CliError where the text has no place for them, because it is written in one line.
    """
    lines = text.splitlines(keepends=True)
    begin, end = _place(text)
    if begin and not lines[begin - 1].endswith("\n"):
        lines[begin - 1] += "\n"
    written = "".join([*lines[:begin], thresholds_text(thresholds), *lines[end:]])
    if _changed(text, thresholds) != _known(written):
        raise CliError("the file's layout has no place for thresholds", advice="put them in by hand")
    return written


def _place(text: str) -> tuple[int, int]:
    """Return the lines, from 0 and up to the second one alone, that the thresholds replace; none behind the version."""
    root = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    place = (0, 0)
    for key, value in root.value if isinstance(root, yaml.MappingNode) and not root.flow_style else ():
        if key.value == _KEY:
            return key.start_mark.line, _last_line(value) + 1
        if key.value == "version":
            place = (value.end_mark.line + 1,) * 2
    return place


def _last_line(node: yaml.Node) -> int:
    """Return the line on which a node's text ends; a block mapping's end mark lies behind the comments that follow."""
    if isinstance(node, yaml.MappingNode) and node.value and not node.flow_style:
        return _last_line(node.value[-1][1])
    line: int = node.end_mark.line
    return line


def _rounded(thresholds: Thresholds) -> Mapping[str, float]:
    return {name: round(value, 4) for name, value in thresholds if value is not None}


def _changed(text: str, thresholds: Thresholds) -> object:
    return parse_policy(text).model_copy(update={_KEY: Thresholds(**_rounded(thresholds))})


def _known(text: str) -> object:
    try:
        return parse_policy(text)
    except FieldInvalid:
        return None
