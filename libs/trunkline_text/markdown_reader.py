"""Markdown (CommonMark and tables) by markdown-it-py."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

from trunkline_text.html_reader import html_text
from trunkline_text.model import Section
from trunkline_text.outline import Outline

# Metadata between two lines of dashes on top, as site generators use it; it is not text.
_FRONT_MATTER: Final = re.compile(r"\A---[ \t]*\n.*?\n(---|\.\.\.)[ \t]*(\n|\Z)", re.DOTALL)


def read_markdown(text: str) -> tuple[str, tuple[Section, ...]]:
    """Return the first top heading and the sections; links and images leave their words, HTML its text."""
    tokens = MarkdownIt("commonmark").enable("table").parse(_FRONT_MATTER.sub("", text))
    walk = _Walk()
    for token in tokens:
        walk.take(token)
    return walk.title, walk.outline.sections()


class _Walk:
    """Turns the flat list of tokens into an outline."""

    def __init__(self) -> None:
        self.title = ""
        self.outline = Outline()
        self._heading_level = 0
        self._in_item = False
        self._row: list[str] | None = None

    def take(self, token: Token) -> None:
        match token.type:
            case "heading_open":
                self._heading_level = int(token.tag[1:])
            case "heading_close":
                self._heading_level = 0
            case "list_item_open":
                self._in_item = True
            case "tr_open":
                self._row = []
            case "tr_close":
                self.outline.block(" | ".join(self._row or ()))
                self._row = None
            case "inline":
                self._inline(_words(token.children or ()))
            case "fence" | "code_block":
                self.outline.block(token.content)
            case "html_block":
                self.outline.block(html_text(token.content))

    def _inline(self, words: str) -> None:
        if self._heading_level:
            if self._heading_level == 1 and not self.title:
                self.title = " ".join(words.split())
            self.outline.heading(self._heading_level, words)
        elif self._row is not None:
            self._row.append(" ".join(words.split()))
        else:
            self.outline.block(f"- {words}" if self._in_item else words)
            self._in_item = False


def _words(tokens: Iterable[Token]) -> str:
    parts: list[str] = []
    for token in tokens:
        match token.type:
            case "text" | "code_inline":
                parts.append(token.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(_words(token.children or ()))
    return "".join(parts)
