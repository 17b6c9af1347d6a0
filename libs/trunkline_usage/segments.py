"""Files of an append-only log: their names, the line that each begins with, and how they are found. No writing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

FORMAT: Final = 1
"""Version of the files' format."""
LOCK_NAME: Final = "writer.lock"
MAX_HEADER_BYTES: Final = 4_096
_NAME: Final = re.compile(r"(?P<log>[a-z]{1,16})-(?P<begun>\d{8}T\d{6}Z)-(?P<number>\d{8})\.jsonl")
_TIME: Final = "%Y%m%dT%H%M%SZ"


class HeaderError(ValueError):
    """A file does not begin as a segment of this format does."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a segment."""

    log: str
    """`usage` or `searches`."""
    journal: str
    """Random id of the folder's log, the same in all of its segments."""
    number: int
    """Of the segment, from 1 on, without gaps."""
    first: int
    """Number of the segment's first line."""
    replica: str
    region: str
    jurisdiction: str
    begun: str
    """When, RFC 3339."""
    format: int = FORMAT

    def line(self) -> bytes:
        """Return it as a line, with its end."""
        return json.dumps(asdict(self), separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of a log."""

    path: Path
    number: int
    begun_s: int
    """Unix time in its name; never before that of the segment before it."""

    def size(self) -> int:
        """Return its size in bytes; 0 if it has gone meanwhile."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def segment_name(log: str, begun_s: int, number: int) -> str:
    """Return a segment's file name; names sort as the segments were written."""
    return f"{log}-{datetime.fromtimestamp(begun_s, UTC).strftime(_TIME)}-{number:08d}.jsonl"


def segments_of(folder: Path, log: str) -> list[Segment]:
    """Return the segments of one folder in their order; none if there is no folder."""
    found = []
    if folder.is_dir():
        for path in folder.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None and name["log"] == log:
                begun = datetime.strptime(name["begun"], _TIME).replace(tzinfo=UTC)
                found.append(Segment(path, int(name["number"]), int(begun.timestamp())))
    return sorted(found, key=lambda segment: segment.number)


def folders_with(root: Path, log: str) -> Sequence[Path]:
    """Return the folders that hold segments of a log, `root` and all below it, sorted."""
    return sorted({path.parent for path in root.rglob(f"{log}-*.jsonl") if _NAME.fullmatch(path.name)})


def header_of(line: bytes) -> Header:
    """Return the header in a segment's first line. Raises HeaderError, also for a format that is not known here."""
    try:
        told: Any = json.loads(line)
        header = Header(**told)
    except (ValueError, TypeError) as exc:
        raise HeaderError("the file does not begin as a segment does") from exc
    if header.format != FORMAT or type(header.number) is not int or type(header.first) is not int:
        raise HeaderError(f"the file is of another format than {FORMAT}")
    return header


def read_header(path: Path) -> Header:
    """Return the header of a file. Raises HeaderError and OSError."""
    with path.open("rb") as file:
        return header_of(file.readline(MAX_HEADER_BYTES))


def whole_lines(
    path: Path, offset: int, max_line_bytes: int, chunk_bytes: int = 1 << 20
) -> Iterator[tuple[int, bytes]]:
    """Yield the offset behind each line and the line without its end, from `offset` on, which must begin a line.

    What follows the last line end, torn or still being written, is left out. A line beyond `max_line_bytes` is yielded
    as an empty one, which is never a record. Raises OSError.
    """
    with path.open("rb") as file:
        file.seek(offset)
        rest, skipped = b"", 0
        while chunk := file.read(chunk_bytes):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                offset += skipped + len(line) + 1
                yield offset, b"" if skipped or len(line) > max_line_bytes else line
                skipped = 0
            if len(rest) > max_line_bytes:
                skipped, rest = skipped + len(rest), b""
