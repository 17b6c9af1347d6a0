"""What the command prints: readable in a terminal, plain in a pipe, JSON for programs."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

# What came from documents must not move the cursor, recolour the terminal or set its title.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE_EVERY_S: Final = 2.0


def clean(text: str) -> str:
    """Return a text without control characters, except line ends and tabs."""
    return _CONTROL.sub("\ufffd", text)


def one_line(text: str, limit: int) -> str:
    """Return a text on one line, cut to `limit` characters."""
    flat = " ".join(clean(text).split())
    return flat if len(flat) <= limit else f"{flat[: limit - 1]}\u2026"


class Output:
    """Prints results to stdout. In JSON mode only `data` is printed, as one object."""

    def __init__(self, as_json: bool, console: Console | None = None) -> None:
        self.as_json = as_json
        self.console = console or Console(highlight=False)

    def line(self, text: str = "", style: str = "") -> None:
        """Print one line for people."""
        if self.as_json:
            return
        if self.console.is_terminal:
            self.console.print(Text(clean(text), style=style))
        else:
            self.console.file.write(f"{clean(text)}\n")  # as it is: no wrapping, no expanded tabs

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print a table for people; tab-separated lines in a pipe."""
        if self.as_json:
            return
        if not self.console.is_terminal:
            for row in rows:
                self.line("\t".join(row))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        self.console.print(table)

    def data(self, value: Mapping[str, Any]) -> None:
        """Print the result for programs."""
        if self.as_json:
            sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")

    def flush(self) -> None:
        """Let whoever reads a pipe see what was printed so far."""
        sys.stdout.flush()
        self.console.file.flush()


class ProgressView(Protocol):
    """Shows how far a long work has come."""

    def update(self, done: int, total: int, note: str = "") -> None:
        """Tell the state: `done` of `total`, and a few words."""


class _Bar:
    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, note="")

    def update(self, done: int, total: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, total=total, note=one_line(note, 60))


class _Lines:
    """At most a line every two seconds, and one for the end."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._told_s = float("-inf")

    def update(self, done: int, total: int, note: str = "") -> None:
        now_s = time.monotonic()
        if done < total and now_s - self._told_s < _LINE_EVERY_S:
            return
        self._told_s = now_s
        sys.stderr.write(f"{self._title}: {done} of {total} {one_line(note, 100)}".rstrip() + "\n")


@contextmanager
def progress(title: str) -> Iterator[ProgressView]:
    """Show a bar on a terminal, plain lines elsewhere; both on stderr, so that a result can be piped."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Lines(title)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Bar(bar, title)
