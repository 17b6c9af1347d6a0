"""The append-only account of the map's changes in files: its lines, how to read them, and whether they are whole.

A directory holds `audit-00000001.jsonl`, `audit-00000002.jsonl` and so on. Each line is one JSON object, and its
`previous` is the SHA-256 of the line before it, also over the border of two files; so nothing can be altered, removed,
put in between or exchanged without breaking the chain. What was cut off at the end does not show by itself: compare the
last line's hash with one that was noted elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

GENESIS: Final = "0" * 64
"""`previous` of the very first line."""

MAX_LINE_BYTES: Final = 4 << 20
"""Longer lines are not read: entries are some kilobytes."""

_FILE: Final = re.compile(r"audit-(\d{8})\.jsonl")


class AuditProblem(NamedTuple):
    """Where the account is not whole, and why."""

    path: Path
    line: int
    """1 for a file's first line; 0 where the file as a whole is meant."""
    reason: str


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What `verify` found."""

    files: int
    lines: int
    """Good ones, up to the problem if there is one."""
    first_revision: int
    """Revision of the first good line; 0 if there is none."""
    last_revision: int
    begins_with: str
    """`previous` of the first line: GENESIS unless older files were taken away."""
    last_hash: str
    """Hash of the last good line; note it elsewhere, to know later that nothing was cut off."""
    torn: bool
    """True if the last line is not whole: its writer is at it, or died over it. The next writer cuts it off."""
    problem: AuditProblem | None

    @property
    def whole(self) -> bool:
        """True if the chain is unbroken."""
        return self.problem is None


def hash_of(line: bytes) -> str:
    """Return a line's hash; `line` is without its end of line."""
    return hashlib.sha256(line).hexdigest()


def line_of(fields: Mapping[str, Any], previous: str) -> bytes:
    """Return the line that tells `fields` and follows the one with the hash `previous`, without its end of line."""
    told = {**fields, "previous": previous}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


def file_name(number: int) -> str:
    """Return the name of the file `number`, from 1 on."""
    return f"audit-{number:08d}.jsonl"


def file_number(path: Path) -> int:
    """Return a file's number. Raises ValueError for a name that is none of an audit file."""
    found = _FILE.fullmatch(path.name)
    if found is None:
        raise ValueError("the file is none of an audit log")
    return int(found[1])


def files_of(directory: Path) -> Sequence[Path]:
    """Return the directory's audit files in their order."""
    return sorted(path for path in directory.iterdir() if _FILE.fullmatch(path.name))


def raw_lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines, each with its end of line if it has one. One beyond the bound is yielded in parts."""
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            yield line


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield what the lines of a file, or of a directory's files, tell; the chain is not checked.

    A line that is not whole is left out. Raises ValueError for a line that is no JSON object, and OSError.
    """
    for file in files_of(path) if path.is_dir() else [path]:
        for line in raw_lines(file):
            if _is_torn(line):
                continue
            told = json.loads(line)
            if not isinstance(told, dict):
                raise ValueError("a line of the audit log is no object")  # noqa: TRY004 - bad data, no bad argument
            yield told


def verify(path: Path) -> AuditReport:
    """Follow the chain through a directory's files, or through one file, up to the first problem. Raises OSError.

    A whole account begins with GENESIS in the file 1; where older files were taken away, the chain is followed from
    the first line that is there.
    """
    files = files_of(path) if path.is_dir() else [path]
    chain = _Chain(expected=GENESIS if _begins(files) else None)
    number: int | None = None
    for file in files:
        found = _FILE.fullmatch(file.name)
        if found is not None:
            if number is not None and int(found[1]) != number + 1:
                return chain.report(AuditProblem(file, 0, "the file before it is missing"))
            number = int(found[1])
        chain.files += 1
        for index, line in enumerate(raw_lines(file), start=1):
            if file == files[-1] and _is_torn(line):
                return chain.report(None, torn=True)
            reason = chain.take(line)
            if reason:
                return chain.report(AuditProblem(file, index, reason))
    return chain.report(None)


def _is_torn(line: bytes) -> bool:
    """Return True for a last line without its end; one that is too long is something else."""
    return not line.endswith(b"\n") and len(line) < MAX_LINE_BYTES


def _begins(files: Sequence[Path]) -> bool:
    return bool(files) and files[0].name == file_name(1)


class _Chain:
    def __init__(self, expected: str | None) -> None:
        self.files = 0
        self._lines = 0
        self._first_revision = 0
        self._last_revision = 0
        self._expected = expected
        self._begins_with = expected or ""
        self._last_hash = expected or ""

    def take(self, line: bytes) -> str:
        """Go on by one line; return what is wrong with it, or nothing."""
        if not line.endswith(b"\n"):
            return "the line is torn, or too long"
        try:
            told = json.loads(line)
        except ValueError:
            return "the line is no JSON"
        previous, revision = (told.get("previous"), told.get("revision")) if isinstance(told, dict) else (None, None)
        if not isinstance(previous, str) or not isinstance(revision, int):
            return "the line lacks its revision or the hash of the line before"
        if self._expected is not None and previous != self._expected:
            return "the line does not follow the one before it"
        if not self._lines:
            self._begins_with, self._first_revision = previous, revision
        self._lines += 1
        self._last_revision = revision
        self._expected = self._last_hash = hash_of(line[:-1])
        return ""

    def report(self, problem: AuditProblem | None, *, torn: bool = False) -> AuditReport:
        """Return what was found so far."""
        return AuditReport(
            self.files,
            self._lines,
            self._first_revision,
            self._last_revision,
            self._begins_with,
            self._last_hash,
            torn,
            problem,
        )
