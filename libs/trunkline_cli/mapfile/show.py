"""Shows what a map file would change: lines for people, plain data for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from trunkline_cli.mapfile.diff import Action, Diff, Difference
from trunkline_cli.mapfile.schema import FIELDS, EntryKind, shown_name
from trunkline_cli.output import Output, one_line

MAX_SHOWN: Final = 200
"""Entries that are told one by one unless all are asked for."""

_SIGNS: Final = {Action.ADD: ("+", "green"), Action.CHANGE: ("~", "yellow"), Action.REMOVE: ("-", "red")}
_VERBS: Final = {Action.ADD: "to add", Action.CHANGE: "to change", Action.REMOVE: "to remove"}
_VALUE_CHARS: Final = 120


def show_diff(out: Output, diff: Diff, *, everything: bool) -> None:
    """Print each entry that differs, the fields of changed ones, and how many of each kind there are."""
    shown = diff.differences if everything else diff.differences[:MAX_SHOWN]
    for each in shown:
        _show(out, each)
    more = len(diff.differences) - len(shown)
    if more:
        out.line(f"... and {more:,} more; --all shows them", style="dim")
    for line in summary(diff):
        out.line(line, style="bold")


def _show(out: Output, difference: Difference) -> None:
    sign, style = _SIGNS[difference.action]
    about = f": {_brief(difference)}" if difference.action is Action.ADD else ""
    out.line(f"{sign} {shown_name(difference.kind, difference.key)}{about}", style=style)
    for name, before, after in difference.fields():
        out.line(f"    {name}: {_value(before)} -> {_value(after)}", style=style)


def _brief(difference: Difference) -> str:
    values = difference.after or {}
    parts = [
        f"{field.name}={_value(values[field.name])}"
        for field in FIELDS[difference.kind]
        if values[field.name] not in difference.key and values[field.name] != field.default
    ]
    return one_line(", ".join(parts), 2 * _VALUE_CHARS)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return one_line("{" + ", ".join(f"{key}: {_value(item)}" for key, item in value.items()) + "}", _VALUE_CHARS)
    if isinstance(value, list):
        return one_line("[" + ", ".join(map(_value, value)) + "]", _VALUE_CHARS)
    return one_line(str(value), _VALUE_CHARS) or '""'


def summary(diff: Diff) -> list[str]:
    """Return the counts: a line for each kind that changes, and one for what stays."""
    counts = diff.counts()
    lines = []
    for kind in EntryKind:
        parts = [f"{counts[kind, action]:,} {_VERBS[action]}" for action in Action if counts.get((kind, action))]
        if parts:
            lines.append(f"{kind.section}: {', '.join(parts)}")
    if not lines:
        lines.append("nothing to change")
    if diff.left:
        lines.append(f"{diff.left:,} entries of the map are not in the file and stay; --prune removes them")
    return lines


def diff_data(diff: Diff) -> Mapping[str, Any]:
    """Return a difference as plain data."""
    counts = diff.counts()
    return {
        "counts": {
            kind.section: {action.value: counts.get((kind, action), 0) for action in Action} for kind in EntryKind
        },
        "left": diff.left,
        "changes": [
            {
                "action": each.action.value,
                "kind": each.kind.value,
                "name": "/".join(each.key),
                "before": each.before,
                "after": each.after,
            }
            for each in diff.differences
        ],
    }
