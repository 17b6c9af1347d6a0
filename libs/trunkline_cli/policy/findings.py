"""What lint finds in a policy, with lines, for people and programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from trunkline_cli.output import Output
from trunkline_cli.policy.files import Told, problems
from trunkline_cli.policy.lines import Lines
from trunkline_mesh.errors import FieldInvalid
from trunkline_policy.document import parse_policy
from trunkline_policy.lint import lint_policy
from trunkline_policy.model import RoutingPolicy

_STYLES: Final = {"error": "red", "warning": "yellow", "note": "dim"}
_LEVELS: Final = tuple(_STYLES)
MAX_SHOWN: Final = 200
"""Findings that people get to see; programs get all."""


@dataclass(frozen=True, slots=True)
class Linted:
    """A policy's text as lint sees it; `policy` is None where the text is none."""

    name: str
    policy: RoutingPolicy | None
    findings: Sequence[Told]

    def count(self, level: str) -> int:
        """Return how many findings are of a level."""
        return sum(item.level == level for item in self.findings)

    def data(self) -> Mapping[str, Any]:
        """Return it as plain data."""
        counts = {f"{level}s": self.count(level) for level in _LEVELS}
        return {"file": self.name, **counts, "findings": [item.data() for item in self.findings]}


def lint_text(name: str, text: str) -> Linted:
    """Return what is to say about a policy's text: the worst first, then in the order of the lines."""
    try:
        policy = parse_policy(text)
    except FieldInvalid as exc:
        return Linted(name, None, problems(exc, text))
    lines = Lines(text)
    found = [
        Told(item.level, item.code, item.where, lines.of(item.where), item.message) for item in lint_policy(policy)
    ]
    return Linted(name, policy, sorted(found, key=lambda item: (_LEVELS.index(item.level), item.line or 0, item.where)))


def show_findings(out: Output, linted: Linted) -> None:
    """Print a line for each finding and one that counts them."""
    for item in linted.findings[:MAX_SHOWN]:
        out.line(item.text(linted.name), style=_STYLES[item.level])
    for level, count in Counter(item.level for item in linted.findings[MAX_SHOWN:]).items():
        out.line(f"... and {count:,} more of level {level}; --json tells all")
    out.line(f"{linted.name}: {', '.join(_counted(level, linted.count(level)) for level in _LEVELS)}")


def _counted(level: str, count: int) -> str:
    return f"{count:,} {level}{'' if count == 1 else 's'}"
