"""Turns files into documents, one file at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from trunkline_client import Document

if TYPE_CHECKING:
    from trunkline_text import Chunk, ChunkPolicy, FileLimits


@dataclass(slots=True)
class Source:
    """The files below a path, and every file that was passed over with its reason."""

    root: Path
    files: list[Path]
    problems: list[str] = field(default_factory=list)
    unread: set[str] = field(default_factory=set)
    """Sources whose text is not known now; their documents are never pruned."""
    complete: bool = True
    """False if not every file was looked at, so that a missing one proves nothing."""

    @classmethod
    def find(cls, path: Path, limits: FileLimits) -> Source:
        """Look for text files. Raises FileNotFoundError."""
        from trunkline_text import SUFFIXES, find_files

        found = find_files(path, SUFFIXES, limits)
        # A link, a folder that cannot be read or a bound that was met: what lies behind is not known.
        return cls(
            found.root,
            list(found.files),
            [str(problem) for problem in found.problems],
            {problem.source for problem in found.problems},
            complete=not found.problems,
        )

    def documents(self, path: Path, policy: ChunkPolicy, limits: FileLimits) -> list[Document]:
        """Return one file's documents; a file that cannot be read is noted and gives none."""
        from trunkline_text import UnreadableFile, chunk_page, read_page

        source = path.relative_to(self.root).as_posix()
        try:
            page = read_page(path, source, limits)
        except UnreadableFile as exc:
            self.problems.append(f"{source}: {exc}")
            self.unread.add(source)
            return []
        return list(as_documents(chunk_page(page, policy)))


def as_documents(chunks: list[Chunk]) -> Iterator[Document]:
    """Yield chunks as documents with the fields that are filtered by and displayed."""
    for chunk in chunks:
        fields: dict[str, str | int | float | bool] = {
            "title": chunk.title,
            "section": chunk.section,
            "source": chunk.source,
            "ordinal": chunk.ordinal,
            **chunk.fields,
        }
        yield Document(chunk.document_id, chunk.text, fields)
