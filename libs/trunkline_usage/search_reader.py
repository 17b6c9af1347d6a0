"""Reads search audits, and tells whether their lines are an unbroken chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trunkline_usage.records import DamagedLineError
from trunkline_usage.salts import Salts, hash_of
from trunkline_usage.scan import Problem
from trunkline_usage.search_lines import GENESIS, MAX_LINE_BYTES, SEARCHES, SearchLine, chain_hash, search_line_of
from trunkline_usage.segments import folders_with, segments_of, whole_lines


@dataclass(frozen=True, slots=True)
class Asked:
    """Which lines are wanted. Empty for any."""

    tenant: str = ""
    day: str = ""
    """`YYYY-MM-DD`, in UTC."""
    caller: str = ""
    """A credential's subject; found as long as the day's salt is kept."""
    query: str = ""
    """A text; the same."""
    denied: bool = False
    """True for those that were denied alone."""


class SearchReader:
    """Reads the audits in and below a folder. Use it once."""

    def __init__(self, root: Path) -> None:
        """Read below `root`."""
        self._root = root
        self._salts: dict[tuple[Path, str], bytes | None] = {}
        self.problems: list[Problem] = []
        """Where the chain is broken, or a line damaged; of each folder the first."""
        self.lines = 0
        """Good ones, those that nobody asked for included."""
        self.begins_late: list[Path] = []
        """Folders whose first line is not the very first: older files were taken away."""
        self.saltless: set[str] = set()
        """Days of which a caller or a query was asked for and no salt is kept."""

    def searches(self, asked: Asked) -> Iterator[SearchLine]:
        """Yield the lines that are wanted, folder by folder. Raises OSError."""
        for folder in folders_with(self._root, SEARCHES):
            for line in self._lines(folder):
                if self._is_asked(folder, line, asked):
                    yield line

    def _lines(self, folder: Path) -> Iterator[SearchLine]:
        previous = ""
        for segment in segments_of(folder, SEARCHES):
            lines = whole_lines(segment.path, 0, MAX_LINE_BYTES)
            next(lines, None)
            for index, (_, text) in enumerate(lines, start=2):
                try:
                    line = search_line_of(text)
                except DamagedLineError as exc:
                    self._tell(folder, segment.path, index, str(exc))
                    continue
                if previous and line.previous != previous:
                    self._tell(folder, segment.path, index, "the line does not follow the one before it")
                elif not previous and line.previous != GENESIS:
                    self.begins_late.append(folder)
                previous = chain_hash(text)
                self.lines += 1
                yield line

    def _tell(self, folder: Path, path: Path, index: int, reason: str) -> None:
        if not any(problem.path.parent == folder for problem in self.problems):
            self.problems.append(Problem(path, index, reason))

    def _is_asked(self, folder: Path, line: SearchLine, asked: Asked) -> bool:
        return (
            asked.tenant in ("", line.tenant)
            and asked.day in ("", line.day)
            and not (asked.denied and not line.reason)
            and (not asked.caller or self._is_of(folder, line, "caller", asked.caller, line.caller))
            and (not asked.query or self._is_of(folder, line, "query", asked.query, line.query))
        )

    def _is_of(self, folder: Path, line: SearchLine, kind: str, text: str, found: str) -> bool:
        salt = self._salt(folder, line.day)
        if salt is None:
            self.saltless.add(line.day)
            return False
        return hash_of(kind, text, salt) == found

    def _salt(self, folder: Path, day: str) -> bytes | None:
        key = folder, day
        if key not in self._salts:
            self._salts[key] = Salts(folder.parent, 0).of(date.fromisoformat(day))
        return self._salts[key]
