"""Reads queries whose right answer is known, from JSON lines or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from trunkline_cli.exits import CliError, Exit
from trunkline_policy.model import RoutingPolicy

MAX_FILE_BYTES: Final = 64 << 20
MAX_QUERIES: Final = 100_000
MAX_TEXT_BYTES: Final = 4_096
"""As the contract has it."""
MAX_COLLECTIONS: Final = 16
_MAX_TOLD: Final = 8
_CSV_COLUMNS: Final = ("text", "collection", "template", "model_class")
_SEPARATOR: Final = "|"
"""Between several right collections of one CSV cell."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """A query and where it belongs: any of `collections`, or nowhere without one."""

    text: str
    collections: tuple[str, ...]
    template: str = ""
    model_class: str = ""
    roles: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


def read_labelled(path: Path) -> list[Labelled]:
    """Return the queries of a `.jsonl` or `.csv` file, in order. Raises CliError that names the lines that are wrong.

    A line of JSON: `{"text": "...", "collections": ["a", "b"]}`, with `template`, `model_class`, `roles` and
    `attributes` where they matter. CSV: `text,collection`, several collections with `|` between them; a first row that
    begins with `text` names the columns, of which `template` and `model_class` are known too. Without a collection a
    query belongs nowhere.
    """
    if path.stat().st_size > MAX_FILE_BYTES:
        raise CliError(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB", code=Exit.USAGE)
    rows = _csv_rows if path.suffix.lower() == ".csv" else _json_rows
    found: list[Labelled] = []
    problems: list[str] = []
    for line, made in rows(path):
        try:
            found.append(made())
        except ValueError as exc:
            problems.append(f"line {line}: {exc}")
        if len(problems) == _MAX_TOLD:
            break
        if len(found) > MAX_QUERIES:
            raise CliError(f"{path} has more than {MAX_QUERIES:,} queries", code=Exit.USAGE)
    if problems:
        raise CliError(f"{path}: {'; '.join(problems)}", advice=_ADVICE, code=Exit.USAGE)
    if not found:
        raise CliError(f"{path} has no queries", advice=_ADVICE, code=Exit.USAGE)
    return found


_ADVICE: Final = 'a line is {"text": "How do I read a CSV file?", "collections": ["data-formats"]}'


def golden_of(policy: RoutingPolicy) -> list[Labelled]:
    """Return a policy's own golden set."""
    return [
        Labelled(item.query, item.collections, item.template or "", item.model_class or "") for item in policy.golden
    ]


Row = tuple[int, Callable[[], Labelled]]


def _json_rows(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", errors="strict") as stream:
        try:
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield number, partial(_from_json, line)
        except UnicodeDecodeError:
            raise CliError(f"{path} is not UTF-8", code=Exit.USAGE) from None


def _csv_rows(path: Path) -> Iterator[Row]:
    columns: Sequence[str] = _CSV_COLUMNS
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        try:
            for row in reader:
                cells = [cell.strip() for cell in row]
                if reader.line_num == 1 and cells and cells[0].lower() == "text":
                    columns = [cell.lower() for cell in cells]
                elif any(cells):
                    yield reader.line_num, partial(_from_csv, cells, columns)
        except (UnicodeDecodeError, csv.Error):
            raise CliError(f"{path} is no CSV in UTF-8", code=Exit.USAGE) from None


def _from_json(line: str) -> Labelled:
    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")  # noqa: TRY004 - the file's content is at fault
    known = {"text", "collections", "template", "model_class", "roles", "attributes"}
    if unknown := sorted(set(value) - known):
        raise ValueError(f"has unknown names: {', '.join(map(str, unknown))[:80]}")
    if "collections" not in value:
        raise ValueError("has no `collections`; an empty list says that it belongs nowhere")
    return _checked(
        value.get("text"),
        _texts(value["collections"], "collections"),
        _text(value.get("template"), "template"),
        _text(value.get("model_class"), "model_class"),
        _texts(value.get("roles", []), "roles"),
        _pairs(value.get("attributes", {})),
    )


def _from_csv(cells: Sequence[str], columns: Sequence[str]) -> Labelled:
    if unknown := set(columns) - set(_CSV_COLUMNS):
        raise ValueError(f"follows a first row with unknown columns: {', '.join(sorted(unknown))[:80]}")
    if len(cells) > len(columns):
        raise ValueError(f"has {len(cells)} cells, not {len(columns)}: put a text with commas into double quotes")
    row = dict(zip(columns, cells, strict=False))
    names = tuple(name.strip() for name in row.get("collection", "").split(_SEPARATOR) if name.strip())
    return _checked(row.get("text"), names, row.get("template", ""), row.get("model_class", ""), (), {})


def _checked(
    text: Any,
    collections: tuple[str, ...],
    template: str,
    model_class: str,
    roles: tuple[str, ...],
    attributes: Mapping[str, str],
) -> Labelled:
    if not isinstance(text, str) or not text.strip():
        raise ValueError("has no text")
    if len(text.encode(errors="replace")) > MAX_TEXT_BYTES:
        raise ValueError(f"has a text of more than {MAX_TEXT_BYTES:,} bytes")
    if len(collections) > MAX_COLLECTIONS:
        raise ValueError(f"names more than {MAX_COLLECTIONS} collections")
    return Labelled(text, collections, template, model_class, roles, attributes)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f"has a `{name}` that is no text")  # noqa: TRY004 - the file's content is at fault
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise ValueError(f"has `{name}` that are no list of names")
    return tuple(value)


def _pairs(value: Any) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise ValueError("has `attributes` that are no object of texts")
    return value
