"""Removing journals that have been accounted for and exported. Nothing else removes any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from trunkline_usage.records import MAX_LINE_BYTES, DamagedLineError, record_of
from trunkline_usage.scan import USAGE
from trunkline_usage.segments import folders_with, segments_of, whole_lines


@dataclass(frozen=True, slots=True)
class Old:
    """A file that holds nothing of a day or later."""

    path: Path
    size_bytes: int


def old_segments(
    roots: Sequence[Path], before_day: str, progress: Callable[[int, int], None] = lambda done, total: None
) -> list[Old]:
    """Return the files in and below `roots` whose records are all from before a day, in every time zone.

    The last file of a folder stays, for the numbers go on from it, and so does one with a damaged line, for somebody
    to look at. Files go from the front: one that stays keeps those after it. Raises ValueError for what is no day, and
    OSError.
    """
    begin = datetime.fromisoformat(before_day).replace(tzinfo=UTC) - timedelta(hours=14)
    folders = sorted({folder.resolve() for root in roots for folder in folders_with(root, USAGE)})
    found: list[Old] = []
    for done, folder in enumerate(folders):
        progress(done, len(folders))
        for segment in segments_of(folder, USAGE)[:-1]:
            if not _is_before(segment.path, begin.timestamp()):
                break
            found.append(Old(segment.path, segment.size()))
    progress(len(folders), len(folders))
    return found


def _is_before(path: Path, unix_s: float) -> bool:
    lines = whole_lines(path, 0, MAX_LINE_BYTES)
    next(lines, None)
    try:
        return all(record_of(line).record.at_s < unix_s for _, line in lines)
    except DamagedLineError:
        return False
