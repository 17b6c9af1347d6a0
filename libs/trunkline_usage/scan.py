"""Reads the journals of a folder in their order, and tells what is damaged or missing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trunkline_usage.records import MAX_LINE_BYTES, DamagedLineError, UsageRecord, record_of
from trunkline_usage.segments import HeaderError, Segment, folders_with, header_of, segments_of, whole_lines

USAGE: Final = "usage"
_REPORT_BYTES: Final = 1 << 20
MAX_TOLD: Final = 100
"""Problems that are told one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Where a journal is not as it was written."""

    path: Path
    line: int
    """1 for a file's first line, its header; 0 where the file as a whole is meant."""
    reason: str


@dataclass(slots=True)
class Findings:
    """What was read, and what is wrong with it."""

    folders: int = 0
    files: int = 0
    records: int = 0
    damaged: int = 0
    """Whole lines, or whole files, that cannot be read."""
    missing: int = 0
    """Records whose numbers are absent: lost on a full disk, or taken out."""
    missing_files: int = 0
    """Files that are absent between two others."""
    torn: int = 0
    """Last lines without an end: of a writer that is at it, or that a power loss stopped. Never an answered request's,
    unless the power was lost."""
    bytes_read: int = 0
    problems: list[Problem] = field(default_factory=list)
    """The first `MAX_TOLD`."""

    @property
    def whole(self) -> bool:
        """True if nothing is damaged or missing."""
        return not (self.damaged or self.missing or self.missing_files)

    def tell(self, path: Path, line: int, reason: str) -> None:
        """Note a problem in words."""
        if len(self.problems) < MAX_TOLD:
            self.problems.append(Problem(path, line, reason))


class Scan:
    """Reads all journals in and below some folders, each file once however often its folder is named."""

    def __init__(self, roots: Sequence[Path], progress: Callable[[int, int], None] = lambda done, total: None) -> None:
        """Read below `roots`; `progress` is told the bytes read and the bytes in all. Raises OSError."""
        self.findings = Findings()
        self._progress = progress
        folders = {path.resolve(): path for root in roots for path in folders_with(root, USAGE)}
        self._segments = [segments_of(folders[each], USAGE) for each in sorted(folders)]
        self.total_bytes = sum(segment.size() for segments in self._segments for segment in segments)
        """Size of all files."""

    def records(self) -> Iterator[tuple[UsageRecord, bytes]]:
        """Yield each record and its line; what is damaged is told in `findings`. Raises OSError."""
        for segments in self._segments:
            self.findings.folders += 1
            yield from _Folder(self.findings).records(segments, self._told)

    def _told(self, size_bytes: int) -> None:
        self.findings.bytes_read += size_bytes
        self._progress(self.findings.bytes_read, self.total_bytes)


class _Folder:
    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._expected: int | None = None
        self._file: int | None = None

    def records(self, segments: Sequence[Segment], told: Callable[[int], None]) -> Iterator[tuple[UsageRecord, bytes]]:
        for segment in segments:
            if self._file is not None and segment.number != self._file + 1:
                self._findings.missing_files += 1
                self._findings.tell(segment.path, 0, "the file before it is missing")
                self._expected = None
            self._file = segment.number
            self._findings.files += 1
            yield from self._segment(segment, told)

    def _segment(self, segment: Segment, told: Callable[[int], None]) -> Iterator[tuple[UsageRecord, bytes]]:
        behind = reported = 0
        for index, (offset, line) in enumerate(whole_lines(segment.path, 0, MAX_LINE_BYTES), start=1):
            behind = offset
            if index == 1:
                self._header(segment.path, line)
            elif (record := self._record(segment.path, index, line)) is not None:
                yield record, line
            if offset - reported >= _REPORT_BYTES:
                told(offset - reported)
                reported = offset
        told(behind - reported)
        self._findings.torn += _is_torn(segment.path, behind)

    def _header(self, path: Path, line: bytes) -> None:
        try:
            header = header_of(line)
        except HeaderError as exc:
            self._findings.damaged += 1
            self._findings.tell(path, 1, str(exc))
        else:
            self._meet(path, 1, header.first)

    def _record(self, path: Path, index: int, line: bytes) -> UsageRecord | None:
        try:
            number, record = record_of(line)
        except DamagedLineError as exc:
            self._findings.damaged += 1
            self._findings.tell(path, index, str(exc))
            if self._expected is not None:
                self._expected += 1
            return None
        self._meet(path, index, number)
        self._expected = number + 1
        self._findings.records += 1
        return record

    def _meet(self, path: Path, index: int, number: int) -> None:
        """Compare the number of what comes next with what was expected."""
        if self._expected is not None and number > self._expected:
            self._findings.missing += number - self._expected
            self._findings.tell(path, index, f"{number - self._expected} records before it are missing")
        if self._expected is None or number > self._expected:
            self._expected = number


def _is_torn(path: Path, offset: int) -> bool:
    """Return True if a line without an end stands there; a whole one came while the file was read."""
    with path.open("rb") as file:
        file.seek(offset)
        rest = file.read(MAX_LINE_BYTES)
    return bool(rest) and b"\n" not in rest
