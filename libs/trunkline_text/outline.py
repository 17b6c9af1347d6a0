"""Collects headings and blocks into sections, for readers of structured text."""

from __future__ import annotations

from trunkline_text.model import Section


class Outline:
    """Takes headings and blocks in the order of the text and gives its sections."""

    def __init__(self) -> None:
        self._stack: list[tuple[int, str]] = []
        self._blocks: list[str] = []
        self._sections: list[Section] = []

    def heading(self, level: int, text: str) -> None:
        """Begin a section; headings of the same or a deeper level end."""
        self._close()
        self._stack = [(depth, title) for depth, title in self._stack if depth < level]
        if text.strip():
            self._stack.append((level, " ".join(text.split())))

    def block(self, text: str) -> None:
        """Add a block to the current section; white space around it and empty blocks are dropped."""
        stripped = text.strip("\n").rstrip()
        if stripped.strip():
            self._blocks.append(stripped)

    def sections(self) -> tuple[Section, ...]:
        """Return the sections that hold any text."""
        self._close()
        return tuple(self._sections)

    def _close(self) -> None:
        if self._blocks:
            self._sections.append(Section(tuple(title for _, title in self._stack), tuple(self._blocks)))
            self._blocks = []
