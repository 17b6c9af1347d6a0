"""Reads a map file: event by event, so that a large one needs no tree, and with the line of everything that is wrong.

libyaml's parser is used where it is there: it reads 100,000 collections in a few seconds, the one in Python takes
minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import yaml

from trunkline_cli.exits import CliError, Exit
from trunkline_cli.mapfile.readers import Node, ValueProblem
from trunkline_cli.mapfile.schema import FIELDS, FORMAT, MAX_ENTRIES, EntryKind, Key, Values, key_of, shown_name

MAX_FILE_BYTES: Final = 256 << 20
"""Room for 100,000 collections with the longest descriptions."""

MAX_DEPTH: Final = 8
MAX_PROBLEMS: Final = 20
"""Told at once; reading ends with the last of them."""

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SECTIONS: Final = {kind.section: kind for kind in EntryKind}


@dataclass(frozen=True, slots=True)
class FileEntry:
    """An entry and the line on which it begins."""

    values: Values
    line: int


@dataclass(slots=True)
class MapFile:
    """What a map file says."""

    path: Path
    entries: dict[EntryKind, dict[Key, FileEntry]] = field(default_factory=lambda: {kind: {} for kind in EntryKind})

    @property
    def count(self) -> int:
        """How many entries it has."""
        return sum(map(len, self.entries.values()))


class _EnoughError(Exception):
    """So many problems that reading on makes no sense."""


def read_map_file(path: Path) -> MapFile:
    """Read and check a whole file. Raises CliError that names every problem with its line, 20 at most."""
    size_bytes = path.stat().st_size
    if size_bytes > MAX_FILE_BYTES:
        raise CliError(
            f"{path} has {size_bytes:,} bytes, more than the {MAX_FILE_BYTES:,} of a map file",
            advice="split it by tenants and import the parts one after the other, without --prune",
            code=Exit.USAGE,
        )
    with path.open("rb") as stream:
        return _Reading(path).run(stream)


def problems_found(path: Path, problems: list[tuple[int, str]]) -> CliError:
    """Return the failure that lists what is wrong with a file."""
    shown = sorted(problems)[:MAX_PROBLEMS]
    lines = "".join(f"\n  line {line}: {message}" for line, message in shown)
    more = f"\n  and {len(problems) - len(shown)} more" if len(problems) > len(shown) else ""
    return CliError(f"{path} is no map that could be imported:{lines}{more}", code=Exit.USAGE)


class _Reading:
    """One pass over a file."""

    def __init__(self, path: Path) -> None:
        self._file = MapFile(path)
        self._problems: list[tuple[int, str]] = []

    def run(self, stream: IO[bytes]) -> MapFile:
        """Return the file's entries. Raises CliError."""
        try:
            self._document(yaml.parse(stream, Loader=_LOADER))
        except yaml.YAMLError as exc:
            mark = getattr(exc, "problem_mark", None)
            problem = getattr(exc, "problem", None) or getattr(exc, "reason", None) or "is no YAML"
            self._problems.append((mark.line + 1 if mark is not None else 1, f"{problem}"))
        except ValueProblem as exc:
            self._problems.append((exc.line, exc.message))
        except _EnoughError:
            pass
        if self._problems:
            raise problems_found(self._file.path, self._problems)
        return self._file

    def _problem(self, line: int, message: str) -> None:
        self._problems.append((line, message))
        if len(self._problems) >= MAX_PROBLEMS:
            raise _EnoughError

    def _document(self, events: Iterator[Any]) -> None:
        for _ in range(2):  # the stream's and the document's start
            event = next(events)
        event = next(events, None)
        if not isinstance(event, yaml.MappingStartEvent):
            raise ValueProblem(1, "must be a mapping of version, regions, spaces, tenants and collections")
        seen: set[str] = set()
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            line, section = _line(event), _key(event)
            if section in seen:
                self._problem(line, f"{section} stands there twice")
            seen.add(section)
            self._section(section, line, events)
        if "version" not in seen:
            self._problem(1, f"the first line must be `version: {FORMAT}`")
        next(events)  # the document's end
        if not isinstance(event := next(events), yaml.StreamEndEvent):
            self._problem(_line(event), "a second document begins; a map file is one")

    def _section(self, section: str, line: int, events: Iterator[Any]) -> None:
        kind = _SECTIONS.get(section)
        event = next(events)
        if kind is None:
            node = _node(event, events, 1)
            if section != "version":
                self._problem(line, f"{section}: no such section")
            elif node.value != str(FORMAT):
                self._problem(line, f"version: must be {FORMAT}, the only one that this program knows")
            return
        if isinstance(event, yaml.ScalarEvent) and event.value in ("", "null", "~"):
            return  # an empty section
        if not isinstance(event, yaml.SequenceStartEvent):
            raise ValueProblem(line, f"{section}: must be a list")
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            self._entry(kind, _node(event, events, 2))

    def _entry(self, kind: EntryKind, node: Node) -> None:
        if not isinstance(node.value, dict):
            self._problem(node.line, f"{kind.section}: must be a mapping of fields")
            return
        values = self._values(kind, node.line, node.value)
        if values is None:
            return
        key, known = key_of(kind, values), self._file.entries[kind]
        if key in known:
            self._problem(node.line, f"{shown_name(kind, key)} stands there twice, first on line {known[key].line}")
        elif self._file.count >= MAX_ENTRIES:
            raise ValueProblem(node.line, f"more than {MAX_ENTRIES:,} entries")
        known[key] = FileEntry(values, node.line)

    def _values(self, kind: EntryKind, line: int, given: dict[str, Node]) -> Values | None:
        values: dict[str, Any] = {}
        good = True
        for one in FIELDS[kind]:
            node = given.pop(one.name, None)
            if node is not None:
                try:
                    values[one.name] = one.read(node)
                except ValueProblem as exc:
                    good = False
                    self._problem(exc.line, f"{kind} {one.name}: {exc.message}")
            elif one.default is None:
                good = False
                self._problem(line, f"{kind} {one.name}: is missing")
            else:
                values[one.name] = one.default
        for unknown, node in given.items():
            good = False
            self._problem(node.line, f"{kind} {unknown}: no such field")
        if good and kind is EntryKind.COLLECTION and values["shard"] and values["layout"] != "shared":
            self._problem(line, "collection shard: only the layout shared has one")
        return values if good else None


def _node(event: Any, events: Iterator[Any], depth: int) -> Node:
    """Return the value that begins with `event`. Raises ValueProblem."""
    line = _line(event)
    if isinstance(event, yaml.ScalarEvent):
        return Node(line, event.value)
    if isinstance(event, yaml.AliasEvent):
        raise ValueProblem(line, "anchors and aliases are not read")
    if depth >= MAX_DEPTH:
        raise ValueProblem(line, "is nested too deeply")
    if isinstance(event, yaml.SequenceStartEvent):
        found: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            found.append(_node(event, events, depth + 1))
        return Node(line, found)
    fields: dict[str, Node] = {}
    while not isinstance(event := next(events), yaml.MappingEndEvent):
        name = _key(event)
        if name in fields:
            raise ValueProblem(_line(event), f"{name} stands there twice")
        fields[name] = _node(next(events), events, depth + 1)
    return Node(line, fields)


def _key(event: Any) -> str:
    if not isinstance(event, yaml.ScalarEvent):
        raise ValueProblem(_line(event), "a field's name must be a word")
    return str(event.value)


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1
