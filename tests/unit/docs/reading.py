"""Reads the documentation: pages, tables, code blocks, links, and how a setting's default is shown."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo

ROOT: Final = Path(__file__).resolve().parents[3]

SHOWN: Final[Mapping[str, str]] = {
    "replica": "host name and process id",
    "tiers": "the three below",
    "models": "the two MiniLM models",
}
"""Defaults that are no plain values, and the words that stand for them."""

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING: Final = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
_NAMED_FILE: Final = re.compile(r"`((?:libs|services|tests|protos|docs|deploy)/[\w./-]+)`")


def pages() -> list[Path]:
    """Return every page of the documentation."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def blocks(page: Path, language: str) -> list[str]:
    """Return the texts of a page's fenced blocks in one language."""
    return [text for found, text in _FENCE.findall(page.read_text(encoding="utf-8")) if found == language]


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """Return the targets of a page's links, images left out."""
    return _LINK.findall(prose(page))


def named_files(page: Path) -> list[str]:
    """Return the files of this project that a page names in backticks."""
    return _NAMED_FILE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose(page))}


def section(page: Path, heading: str) -> str:
    """Return what stands under a heading, up to the next one of its level or above."""
    text = page.read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert found is not None, f"{page.name} has no heading {heading!r}"
    rest = text[found.end() :]
    end = re.search(rf"^#{{1,{len(found.group(1))}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end is not None else rest


def table(text: str, first_column: str) -> list[list[str]]:
    """Return the cells of the table whose first column has that name, backticks removed, without its head."""
    rows: list[list[str]] = []
    inside = False
    for line in text.splitlines():
        if not line.startswith("|"):
            if inside:
                break
            continue
        cells = [cell.strip().replace("`", "") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells[0] == first_column:
            inside = True
        elif inside and not set(cells[0]) <= {"-", ":"}:
            rows.append(cells)
    assert rows, f"no table with the first column {first_column!r}"
    return rows


def shown_default(name: str, field: FieldInfo) -> str:
    """Return how the operations guide shows a setting's default."""
    if name in SHOWN:
        return SHOWN[name]
    value: Any = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, Enum):
        value = value.value
    if value is None or value == "":
        return "(none)"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of each shell command in a page's `bash` blocks; lines that end in a backslash are joined."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                del words[0]
            if words:
                yield words


def grpcurl_call(words: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Return `(package.Service/Method, request)` of a grpcurl command, None for one that lists or describes."""
    if words[-1].count("/") != 1:
        return None
    data = words[words.index("-d") + 1] if "-d" in words else "{}"
    request: dict[str, Any] = json.loads(data)
    return words[-1], request
