"""Folders are searched within bounds and never beyond."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trunkline_text import SUFFIXES, FileLimits, UnreadableFile, find_files, read_page


def _write(path: Path, data: bytes = b"text") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _sources(root: Path, limits: FileLimits | None = None) -> list[str]:
    found = find_files(root, SUFFIXES, limits)
    return [found.source(path) for path in found.files]


def test_known_kinds_are_found_in_order(tmp_path: Path) -> None:
    """Text files come sorted; others are counted; hidden ones are left out."""
    for name in ("b.md", "a/z.TXT", "a/b.rst", "c.html", "x.png", ".hidden.md", ".git/config.md"):
        _write(tmp_path / name)

    found = find_files(tmp_path, SUFFIXES)

    assert [found.source(path) for path in found.files] == ["a/b.rst", "a/z.TXT", "b.md", "c.html"]
    assert found.ignored == 1
    assert found.problems == []


def test_links_are_told_and_not_followed(tmp_path: Path) -> None:
    """Neither a link to a file nor one to a folder leads out, or in circles."""
    secret = _write(tmp_path / "outside" / "secret.md")
    root = tmp_path / "root"
    _write(root / "a.md")
    (root / "link.md").symlink_to(secret)
    (root / "loop").symlink_to(root)

    found = find_files(root, SUFFIXES)

    assert [found.source(path) for path in found.files] == ["a.md"]
    assert sorted(map(str, found.problems)) == [
        "link.md: a symbolic link; not followed",
        "loop: a symbolic link; not followed",
    ]
    with pytest.raises(UnreadableFile):
        read_page(root / "link.md", "link.md")


def test_one_file_may_be_named(tmp_path: Path) -> None:
    """A single file is read whatever its suffix; its name is its source."""
    path = _write(tmp_path / "README", b"hello")

    found = find_files(path, SUFFIXES)

    assert [found.source(item) for item in found.files] == ["README"]
    assert read_page(found.files[0], "README").sections[0].blocks == ("hello",)


def test_bounds_are_kept_and_told(tmp_path: Path) -> None:
    """Too many files, too deep folders and too large files are passed over with a word about it."""
    for index in range(5):
        _write(tmp_path / "many" / f"{index}.md")
    _write(tmp_path / "deep" / "1" / "2" / "x.md")
    large = _write(tmp_path / "large.md", b"x" * 101)

    assert len(_sources(tmp_path / "many", FileLimits(max_files=3))) == 3
    assert "more than 3 files" in str(find_files(tmp_path / "many", SUFFIXES, FileLimits(max_files=3)).problems[0])
    assert _sources(tmp_path / "deep", FileLimits(max_depth=2)) == []
    with pytest.raises(UnreadableFile, match="larger than 100 bytes"):
        read_page(large, "large.md", FileLimits(max_file_bytes=100))


def test_pipes_and_missing_files_do_not_block(tmp_path: Path) -> None:
    """A pipe is never opened for reading, what has vanished is told."""
    os.mkfifo(tmp_path / "pipe.md")

    assert _sources(tmp_path) == []
    with pytest.raises(UnreadableFile):
        read_page(tmp_path / "pipe.md", "pipe.md")
    with pytest.raises(UnreadableFile):
        read_page(tmp_path / "gone.md", "gone.md")
    with pytest.raises(FileNotFoundError):
        find_files(tmp_path / "nowhere", SUFFIXES)


def test_broken_text_names_the_file_s_trouble(tmp_path: Path) -> None:
    """Broken UTF-8 is a warning with its place, not a crash and not mangled text."""
    path = _write(tmp_path / "latin.txt", "größe".encode("latin-1"))

    with pytest.raises(UnreadableFile, match="broken UTF-8 at byte 2"):
        read_page(path, "latin.txt")
