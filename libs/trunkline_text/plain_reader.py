"""Plain text: paragraphs between blank lines."""

from __future__ import annotations

import re
from typing import Final

from trunkline_text.model import Section
from trunkline_text.outline import Outline

_BLANK: Final = re.compile(r"\n[ \t]*\n")


def read_plain(text: str) -> tuple[str, tuple[Section, ...]]:
    """Return no title and one section of the paragraphs."""
    outline = Outline()
    for paragraph in _BLANK.split(text):
        outline.block(paragraph)
    return "", outline.sections()
