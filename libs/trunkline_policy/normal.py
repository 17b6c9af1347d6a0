"""What makes two spellings of a query the same."""

from __future__ import annotations

from typing import Final
from unicodedata import normalize

MAX_TEXT_CHARS: Final = 4_096
"""Characters of a query that deciding looks at; the services accept 4,096 bytes, which are no more characters."""


def normalise(text: str) -> str:
    """Return a text in compatibility form, case folded, with single spaces for white space and none at the ends.

    This is Unicode's compatibility caseless matching (D146: NFKC(fold(NFKC(fold(NFD))))). Queries with the same result
    get the same decision: the decision cache is keyed by it, and everything that looks at words looks at it.
    """
    if text.isascii():
        return " ".join(text.lower().split())
    folded = normalize("NFKC", normalize("NFD", text).casefold())
    return " ".join(normalize("NFKC", folded.casefold()).split())
