"""Cuts pages into chunks along their structure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_text.identifiers import document_id
from trunkline_text.model import Chunk, Page, Section

# Where a block that is too long may be cut, best place first: between lines, sentences, words.
_BREAKS: Final = (re.compile(r"\n"), re.compile(r"(?<=[.!?;:])\s"), re.compile(r"\s"))
_MAX_HEADING_CHARS: Final = 200
_MAX_FIELD_CHARS: Final = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkPolicy:
    """Sizes in characters of the body, without the heading line on top.

    The defaults suit an encoder of 256 word pieces (about 1,000 characters of English).
    """

    target_chars: int = 900
    """A chunk is closed before the block that would make it longer than this."""
    max_chars: int = 1300
    """No chunk is longer."""
    overlap_chars: int = 120
    """At most so much of a chunk's end is repeated at the beginning of the next one of the same section."""

    def __post_init__(self) -> None:
        if not (self.target_chars >= 1 and 0 <= self.overlap_chars < self.target_chars):
            raise ValueError("target_chars must be positive and overlap_chars below it")
        if self.max_chars < self.target_chars + self.overlap_chars + 2:
            raise ValueError("max_chars must leave room for target_chars, overlap_chars and a blank line")


DEFAULT_POLICY: Final = ChunkPolicy()


@dataclass(frozen=True, slots=True)
class _Piece:
    """Part of a block, and what stands before it when it follows another piece."""

    separator: str
    text: str


def chunk_page(page: Page, policy: ChunkPolicy = DEFAULT_POLICY) -> list[Chunk]:
    """Return a page's chunks in order. No chunk spans two sections; the same page gives the same chunks."""
    chunks: list[Chunk] = []
    ordinals: Counter[tuple[str, ...]] = Counter()
    for section in page.sections:
        for body in split_blocks(section.blocks, policy):
            ordinals[section.headings] += 1
            chunks.append(_chunk(page, section, body, ordinals[section.headings]))
    return chunks


def _chunk(page: Page, section: Section, body: str, ordinal: int) -> Chunk:
    below_title = section.headings[1:] if section.headings[:1] == (page.title,) else section.headings
    heading = (section.headings[-1] if section.headings else page.title)[:_MAX_HEADING_CHARS]
    return Chunk(
        document_id(page.source, section.headings, ordinal),
        body if body.startswith(heading) else f"{heading}\n\n{body}",
        page.title[:_MAX_FIELD_CHARS],
        " > ".join(below_title)[:_MAX_FIELD_CHARS],
        page.source[:_MAX_FIELD_CHARS],
        ordinal,
        page.fields,
    )


def split_blocks(blocks: Sequence[str], policy: ChunkPolicy = DEFAULT_POLICY) -> list[str]:
    """Join blocks up to the target size and cut those that are longer; nothing but white space is lost."""
    bodies: list[str] = []
    current = ""
    for piece in _pieces(blocks, policy.target_chars):
        if current and len(current) + len(piece.separator) + len(piece.text) > policy.target_chars:
            bodies.append(current)
            tail = _tail(current, policy.overlap_chars)
            current = f"{tail}{piece.separator}{piece.text}" if tail else piece.text
        else:
            current = f"{current}{piece.separator}{piece.text}" if current else piece.text
    if current:
        bodies.append(current)
    return bodies


def _pieces(blocks: Iterable[str], limit: int) -> Iterator[_Piece]:
    for block in blocks:
        rest, separator = block, "\n\n"
        while len(rest) > limit:
            end, following = _break_at(rest, limit)
            yield _Piece(separator, rest[:end].rstrip())
            rest, separator = rest[end:].lstrip("\n") if following == "\n" else rest[end:].lstrip(), following
        if rest.strip():
            yield _Piece(separator, rest.rstrip())


def _break_at(text: str, limit: int) -> tuple[int, str]:
    """Return where to cut, and what joins the parts again: after the last line, sentence or word that fits."""
    for pattern, separator in zip(_BREAKS, ("\n", " ", " "), strict=True):
        # A cut in the first half would leave scraps, so the next coarser place is not taken at any price.
        places = [
            match.start() for match in pattern.finditer(text, limit // 2, limit + 1) if text[: match.start()].strip()
        ]
        if places:
            return places[-1], separator
    return limit, ""


def _tail(text: str, limit: int) -> str:
    """Return the last words of a text, at most `limit` characters, preferably from the start of a sentence."""
    if limit <= 0 or len(text) <= limit:
        return ""
    window = text[-limit:]
    for pattern in (r"(?<=[.!?])\s+(?=\S)", r"\s+(?=\S)"):
        match = re.search(pattern, window)
        if match is not None and window[match.end() :].strip():
            return window[match.end() :]
    return ""
