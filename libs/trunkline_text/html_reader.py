"""HTML by Beautiful Soup over Python's own parser: nothing is fetched, no script runs."""

from __future__ import annotations

import re
from typing import Final

from bs4 import BeautifulSoup
from bs4.element import CData, NavigableString, PageElement, PreformattedString, Tag

from trunkline_text.model import Section
from trunkline_text.outline import Outline

_HEADING: Final = re.compile(r"h[1-6]")
_DROPPED: Final = frozenset(
    {
        "script",
        "style",
        "template",
        "noscript",
        "nav",
        "svg",
        "math",
        "iframe",
        "object",
        "head",
        "title",
        "select",
        "button",
    }
)
_BLOCKS: Final = frozenset(
    (
        *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl", "dt"),
        *("fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
        *("hr", "html", "li", "main", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot"),
        *("thead", "tr", "ul"),
    )
)
_CELLS: Final = frozenset({"td", "th"})


def read_html(text: str) -> tuple[str, tuple[Section, ...]]:
    """Return the title and the sections; navigation, scripts and styles are left out."""
    soup = BeautifulSoup(text, "html.parser")
    walk = _Walk()
    walk.run(soup)
    title = " ".join(soup.title.get_text(" ").split()) if soup.title else ""
    return title or walk.first_heading, walk.outline.sections()


def html_text(fragment: str) -> str:
    """Return the text of a piece of HTML."""
    return "\n\n".join(
        block for section in read_html(fragment)[1] for block in (*section.headings[-1:], *section.blocks)
    )


class _Walk:
    """Visits the tree without recursion (a page may nest as deep as it is long) and gathers blocks."""

    def __init__(self) -> None:
        self.outline = Outline()
        self.first_heading = ""
        self._buffer: list[str] = []
        self._preformatted = 0

    def run(self, root: Tag) -> None:
        stack: list[tuple[PageElement, bool]] = [(root, False)]
        while stack:
            node, closing = stack.pop()
            if isinstance(node, Tag):
                if closing:
                    self._close(node)
                elif node.name not in _DROPPED:
                    self._open(node)
                    stack.append((node, True))
                    stack.extend((child, False) for child in reversed(node.contents))
            elif isinstance(node, NavigableString) and (
                isinstance(node, CData) or not isinstance(node, PreformattedString)
            ):
                self._buffer.append(str(node))  # comments and declarations are PreformattedStrings too
        self._flush()

    def _open(self, tag: Tag) -> None:
        if tag.name in _BLOCKS:
            self._flush()
        if tag.name == "pre":
            self._preformatted += 1
        elif tag.name == "li":
            self._buffer.append("- ")
        elif tag.name == "br":
            self._buffer.append("\n")

    def _close(self, tag: Tag) -> None:
        if tag.name in _CELLS:
            self._buffer.append(" | ")
        if _HEADING.fullmatch(tag.name):
            self._heading(int(tag.name[1]))
        elif tag.name in _BLOCKS:
            self._flush()
        if tag.name == "pre":
            self._preformatted -= 1

    def _heading(self, level: int) -> None:
        words = " ".join("".join(self._buffer).split())
        self._buffer.clear()
        self.first_heading = self.first_heading or words
        self.outline.heading(level, words)

    def _flush(self) -> None:
        text = "".join(self._buffer)
        self._buffer.clear()
        if not self._preformatted:
            text = " ".join(text.split()).removesuffix(" |")
        if text.strip(" -|\n"):
            self.outline.block(text)
