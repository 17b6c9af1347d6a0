"""What readers find in a file, and what chunking makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Section:
    """The blocks (paragraphs, list items, code, table rows) under one chain of headings, outermost heading first."""

    headings: tuple[str, ...]
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One file's text. `source` is its path relative to the folder that was read, with `/` between the parts."""

    source: str
    title: str
    sections: tuple[Section, ...]
    fields: Mapping[str, str] = field(default_factory=dict)
    """Further fields that every chunk of the page carries."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a page, small enough to embed.

    `document_id` is deterministic: the same file gives the same ids. `text` begins with the section's heading, so
    that the piece says by itself what it is about. `section` is the chain of headings below the title, joined by
    ` > `. `ordinal` counts the pieces of one section from 1.
    """

    document_id: str
    text: str
    title: str
    section: str
    source: str
    ordinal: int
    fields: Mapping[str, str] = field(default_factory=dict)
