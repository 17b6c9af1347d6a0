"""reStructuredText by docutils, with everything switched off that reads other files or passes raw output."""

from __future__ import annotations

import re
from typing import Final

from docutils import nodes
from docutils.core import publish_doctree

from trunkline_text.model import Section
from trunkline_text.outline import Outline

_SETTINGS: Final = {
    "file_insertion_enabled": False,  # `include`, `csv-table :file:`, `raw :file:` would read any file of this machine
    "raw_enabled": False,
    "_disable_config": True,  # a docutils.conf in the working folder must not switch them on again
    "report_level": 5,
    "halt_level": 6,
    "warning_stream": False,
    "syntax_highlight": "none",
    "line_length_limit": 1_000_000,
    "doctitle_xform": False,
    "smart_quotes": False,
}

# Sphinx roles (:func:`x`, :ref:`title <label>`) are unknown to docutils; their words are kept as literals.
_ROLE: Final = re.compile(r":[a-zA-Z][a-zA-Z0-9_.+:-]*:`([^`]+)`")
_TARGET: Final = re.compile(r"\s*<[^<>]*>\Z")
_DIRECTIVE_HEAD: Final = re.compile(r"\A\.\.\s+[\w.:-]+::[ \t]*")


def read_rst(text: str) -> tuple[str, tuple[Section, ...]]:
    """Return the first heading and the sections; directives that docutils does not know leave their content."""
    prepared = _ROLE.sub(lambda match: f"``{_TARGET.sub('', match[1]).lstrip('!~')}``", text)
    document = publish_doctree(prepared, settings_overrides=dict(_SETTINGS))
    walk = _Walk()
    walk.visit(document, 0)
    return walk.title, walk.outline.sections()


class _Walk:
    """Gathers the blocks of a document tree."""

    def __init__(self) -> None:
        self.title = ""
        self.outline = Outline()

    def visit(self, node: nodes.Node, depth: int) -> None:
        for child in node.children:
            if isinstance(child, nodes.title):
                self.title = self.title or child.astext()
                self.outline.heading(max(depth, 1), child.astext())
            elif isinstance(child, nodes.section):
                self.visit(child, depth + 1)
            elif isinstance(child, nodes.system_message):
                self._unknown(child)
            elif isinstance(child, nodes.comment | nodes.substitution_definition | nodes.target | nodes.raw):
                continue
            elif isinstance(child, nodes.list_item):
                self.outline.block(f"- {_own_text(child)}")
            elif isinstance(child, nodes.row):
                self.outline.block(" | ".join(" ".join(entry.astext().split()) for entry in child.children))
            elif isinstance(child, nodes.TextElement):
                self.outline.block(child.astext())
            else:
                self.visit(child, depth)

    def _unknown(self, message: nodes.system_message) -> None:
        """Keep what stands inside a directive that docutils does not know, without its first line's marker."""
        for source in message.findall(nodes.literal_block):
            self.outline.block(_dedent_tail(_DIRECTIVE_HEAD.sub("", source.astext())))


def _own_text(item: nodes.Element) -> str:
    return "\n".join(child.astext() for child in item.children)


def _dedent_tail(text: str) -> str:
    head, _, tail = text.partition("\n")
    lines = [line.removeprefix("   ") for line in tail.split("\n")]
    return "\n".join([head, *lines])
