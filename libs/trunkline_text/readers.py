"""Reads one file by its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from trunkline_text.files import FileLimits, read_bytes
from trunkline_text.model import Page, Section
from trunkline_text.plain_reader import read_plain

Reader = Callable[[str], tuple[str, tuple[Section, ...]]]
"""Takes the text, returns its title (empty if it has none) and its sections."""


# Their libraries take a tenth of a second to import, and most commands read no such file.
def read_html(text: str) -> tuple[str, tuple[Section, ...]]:
    """Read HTML."""
    from trunkline_text import html_reader

    return html_reader.read_html(text)


def read_markdown(text: str) -> tuple[str, tuple[Section, ...]]:
    """Read Markdown."""
    from trunkline_text import markdown_reader

    return markdown_reader.read_markdown(text)


def read_rst(text: str) -> tuple[str, tuple[Section, ...]]:
    """Read reStructuredText."""
    from trunkline_text import rst_reader

    return rst_reader.read_rst(text)


_READERS: Final[Mapping[str, Reader]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".rst": read_rst,
    ".txt": read_plain,
    ".text": read_plain,
}

SUFFIXES: Final = frozenset(_READERS)
"""Suffixes of the files that a folder is searched for."""

# Text files do not hold NUL; UTF-16 and every binary format do, early.
_SNIFF_BYTES: Final = 8192


class UnreadableFile(Exception):  # noqa: N818  # a finding about a file, told to its owner
    """A file that cannot be read as text; the message says why, in words for its owner."""


def decode(data: bytes) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark. Raises UnreadableFile."""
    if b"\0" in data[:_SNIFF_BYTES]:
        raise UnreadableFile("binary, or text in UTF-16; only UTF-8 is read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise UnreadableFile(f"broken UTF-8 at byte {exc.start} (line {line}); save it as UTF-8") from exc
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")


def read_text(text: str, suffix: str, source: str, fields: Mapping[str, str] | None = None) -> Page:
    """Return the page of a text of this kind; an unknown suffix is read as plain text. Raises UnreadableFile."""
    reader = _READERS.get(suffix.lower(), read_plain)
    try:
        title, sections = reader(text)
    except RecursionError as exc:
        raise UnreadableFile("nested too deeply") from exc
    return Page(source, title or Path(source).stem, sections, fields or {})


def read_page(path: Path, source: str, limits: FileLimits | None = None) -> Page:
    """Return the page of a file. Raises UnreadableFile with the reason in words."""
    try:
        data = read_bytes(path, (limits or FileLimits()).max_file_bytes)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise UnreadableFile(f"cannot be read ({reason})") from exc
    return read_text(decode(data), path.suffix, source)
