"""Files of lines that are only appended to: one or more a day, the oldest dropped when there is too much. Blocking."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_map.files import sync_folder

SEGMENT_BYTES: Final = 1 << 20
"""Size from which on the next segment is begun."""
MAX_TENANT_BYTES: Final = 64 << 20
"""What is kept of one tenant in one jurisdiction; some 150,000 records. The oldest segments are dropped."""

_DAY_S: Final = 86_400
_NAME: Final = re.compile(r"(\d{6})-(\d{6})\.jsonl")
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """One file; they sort by age."""

    day: int
    """Days since 1970, UTC, on which it was written."""
    number: int
    path: Path

    @property
    def end_s(self) -> float:
        """Unix time after which nothing was written to it."""
        return float((self.day + 1) * _DAY_S)

    def size(self) -> int:
        """Return its bytes; 0 if another process has dropped it."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0


def segments_of(folder: Path) -> list[Segment]:
    """Return the segments of a folder, oldest first; none where there is no folder. Raises OSError."""
    try:
        names = [each.name for each in folder.iterdir()]
    except FileNotFoundError:
        return []
    matches = [match for match in map(_NAME.fullmatch, names) if match]
    return sorted(Segment(int(match[1]), int(match[2]), folder / match[0]) for match in matches)


def append(folder: Path, lines: bytes, now_s: float) -> None:
    """Write whole lines to the newest segment of the day and sync them. Raises OSError.

    They begin behind a line end of their own: whatever tore the line before, a crash or a full disk, costs that line
    alone.
    """
    today = int(now_s) // _DAY_S
    kept = segments_of(folder)
    newest = kept[-1] if kept else None
    if newest is None or newest.day < today or newest.size() >= SEGMENT_BYTES:
        newest = _begin(folder, today, kept)
    handle = os.open(newest.path, _FLAGS, 0o600)
    try:
        rest = memoryview(b"\n" + lines)
        while rest:
            rest = rest[os.write(handle, rest) :]
        os.fdatasync(handle)
    finally:
        os.close(handle)


def lines_backwards(folder: Path, since_s: float) -> Iterator[bytes]:
    """Yield lines, the last one first, of the segments that may hold something since then. Raises OSError."""
    for segment in reversed(segments_of(folder)):
        if segment.end_s < since_s:
            return
        yield from reversed(_lines(segment))


def trim(folder: Path, before_s: float, max_records: int) -> int:
    """Drop segments that ended before a Unix time, and those before which others hold `max_records` already.

    Returns how many lines went. Raises OSError.
    """
    dropped = newer = 0
    for segment in reversed(segments_of(folder)):
        count = len(_lines(segment))
        if segment.end_s <= before_s or newer >= max_records:
            segment.path.unlink(missing_ok=True)
            dropped += count
        newer += count
    return dropped


def _begin(folder: Path, today: int, kept: Sequence[Segment]) -> Segment:
    """Make the next segment, and room for it. Two processes may begin the same one: then they share it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    day = max(today, kept[-1].day) if kept else today  # a clock that was set back must not write before what is there
    number = kept[-1].number + 1 if kept and kept[-1].day == day else 0
    sizes = [segment.size() for segment in kept]
    excess = sum(sizes) - (MAX_TENANT_BYTES - SEGMENT_BYTES)
    for segment, size in zip(kept, sizes, strict=True):
        if excess <= 0:
            break
        segment.path.unlink(missing_ok=True)
        excess -= size
    segment = Segment(day, number, folder / f"{day:06d}-{number:06d}.jsonl")
    os.close(os.open(segment.path, _FLAGS, 0o600))
    sync_folder(folder)
    return segment


def _lines(segment: Segment) -> list[bytes]:
    try:
        return [line for line in segment.path.read_bytes().split(b"\n") if line]
    except FileNotFoundError:
        return []
