"""Finds the files to read and reads their bytes, within bounds."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class FileLimits:
    """Bounds of one ingestion."""

    max_file_bytes: int = 4 << 20
    """Larger files are passed over with a warning."""
    max_files: int = 20_000
    """After so many files the search ends with a warning."""
    max_depth: int = 32
    """Deeper folders are passed over with a warning."""


@dataclass(frozen=True, slots=True)
class FileProblem:
    """A file that was passed over, and why, in words for its owner."""

    source: str
    problem: str

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


@dataclass(slots=True)
class FoundFiles:
    """Files to read, in the order of their names, and what was passed over. `ignored` counts other kinds of files."""

    root: Path
    files: list[Path] = field(default_factory=list)
    problems: list[FileProblem] = field(default_factory=list)
    ignored: int = 0

    def source(self, path: Path) -> str:
        """Return a file's path relative to the root, with `/` between the parts."""
        return path.relative_to(self.root).as_posix()


def find_files(path: Path, suffixes: Collection[str], limits: FileLimits | None = None) -> FoundFiles:
    """Return the files of these suffixes at or below a path.

    A path that is a file is taken whatever its suffix. Below a folder, hidden entries are left out, links are not
    followed (they may lead anywhere, or in circles), and sockets, pipes and devices are never opened. Raises
    FileNotFoundError if there is nothing at the path.
    """
    limits = limits or FileLimits()
    resolved = path.resolve(strict=True)
    if resolved.is_file():
        return FoundFiles(resolved.parent, [resolved])
    found = FoundFiles(resolved)
    for entry in _walk(found, resolved, limits.max_depth):
        if Path(entry.name).suffix.lower() not in suffixes:
            found.ignored += 1
            continue
        if len(found.files) >= limits.max_files:
            found.problems.append(FileProblem(".", f"more than {limits.max_files} files; the rest was passed over"))
            break
        found.files.append(Path(entry.path))
    return found


def _walk(found: FoundFiles, folder: Path, depth_left: int) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
    except OSError as exc:
        found.problems.append(FileProblem(found.source(folder), f"the folder cannot be read ({exc.strerror})"))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            found.problems.append(FileProblem(found.source(Path(entry.path)), "a symbolic link; not followed"))
        elif entry.is_dir(follow_symlinks=False):
            if depth_left <= 1:
                found.problems.append(FileProblem(found.source(Path(entry.path)), "too deep; passed over"))
            else:
                yield from _walk(found, Path(entry.path), depth_left - 1)
        elif entry.is_file(follow_symlinks=False):
            yield entry


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return a regular file's bytes. Raises OSError, or ValueError with the reason in words."""
    # Opened before it is judged: what was a file a moment ago may be a pipe or a link to a secret now.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError("not a regular file")
        data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"larger than {max_bytes} bytes")
    return data
