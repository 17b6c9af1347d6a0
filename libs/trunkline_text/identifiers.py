"""Document ids that are the same for the same text in the same place."""

from __future__ import annotations

import hashlib
import re
from typing import Final

MAX_ID_CHARS: Final = 128
"""The contract's bound; ids are of `[A-Za-z0-9_.:/#-]`."""

_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9_.:/#-]+")
_PLAIN_SOURCE: Final = re.compile(r"[A-Za-z0-9_./-]+")
_NOT_SLUG: Final = re.compile(r"[^a-z0-9_.]+")
_DIGEST_CHARS: Final = 10
_MAX_SLUG_CHARS: Final = 40


def slug(heading: str) -> str:
    """Return a heading as a short, readable part of an id."""
    return _NOT_SLUG.sub("-", heading.lower()).strip("-")[:_MAX_SLUG_CHARS].strip("-")


def document_id(source: str, headings: tuple[str, ...], ordinal: int) -> str:
    """Return `source#section:ordinal`, at most 128 characters.

    What an id may not hold is replaced, and then a digest of the whole keeps the id unique: two places never share
    one, unless SHA-256 collides on 40 bits.
    """
    name = slug(headings[-1]) if headings else ""
    exact = "\x1f".join((source, *headings))
    readable = f"{_NOT_ALLOWED.sub('_', source)}#{name}" if name else _NOT_ALLOWED.sub("_", source)
    tail = f":{ordinal}"
    says_all = not headings or headings == (name,)
    if says_all and _PLAIN_SOURCE.fullmatch(source) and len(readable) + len(tail) <= MAX_ID_CHARS:
        return readable + tail
    digest = hashlib.sha256(exact.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST_CHARS]
    room = MAX_ID_CHARS - len(tail) - len(digest) - 1
    return f"{readable[:room]}-{digest}{tail}"
