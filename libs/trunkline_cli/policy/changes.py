"""What differs between two policies, for people and programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from trunkline_cli.output import Output, one_line
from trunkline_policy.diff import Change

MAX_SHOWN: Final = 200
_VALUE_CHARS: Final = 160


def show_differences(out: Output, changes: Sequence[Change]) -> None:
    """Print a line for each difference: `+` is new, `-` is gone, `~` is another value."""
    for change in changes[:MAX_SHOWN]:
        if change.before is None:
            out.line(f"+ {change.where}: {_shown(change.after)}", style="green")
        elif change.after is None:
            out.line(f"- {change.where}: {_shown(change.before)}", style="red")
        else:
            out.line(f"~ {change.where}: {_shown(change.before)} -> {_shown(change.after)}", style="yellow")
    if len(changes) > MAX_SHOWN:
        out.line(f"... and {len(changes) - MAX_SHOWN:,} more; --json tells all")
    if not changes:
        out.line("nothing differs")


def differences_data(changes: Sequence[Change]) -> list[Mapping[str, Any]]:
    """Return differences as plain data."""
    return [{"where": item.where, "before": item.before, "after": item.after} for item in changes]


def _shown(value: object) -> str:
    return one_line(str(value), _VALUE_CHARS)
