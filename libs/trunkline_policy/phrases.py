"""Finds keywords in a list of words: whole words and phrases of them, through one trie for the whole policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Node: TypeAlias = "tuple[int, dict[str, Node]]"
"""Number of the phrase that ends here or -1, and what may follow."""


class PhraseTrie:
    """Phrases by their words. Immutable; safe for several threads."""

    def __init__(self, phrases: Iterable[tuple[tuple[str, ...], int]]) -> None:
        """Take phrases of at least one word with their numbers; of equal phrases the last one counts."""
        self._roots: dict[str, Node] = {}
        for words, number in phrases:
            self._add(words, number)

    def _add(self, words: tuple[str, ...], number: int) -> None:
        level = self._roots
        for word in words[:-1]:
            _, level = level.setdefault(word, (-1, {}))
        _, below = level.get(words[-1], (-1, {}))
        level[words[-1]] = (number, below)

    def find(self, words: Sequence[str]) -> set[int]:
        """Return the numbers of the phrases that stand in the words.

        One look-up for each word, and one more for each word of a phrase that began there: at most words times the
        longest phrase, whatever the number of phrases.
        """
        found: set[int] = set()
        roots = self._roots
        for start, word in enumerate(words):
            if word in roots:
                number, below = roots[word]
                if number >= 0:
                    found.add(number)
                position = start + 1
                while below and position < len(words) and words[position] in below:
                    number, below = below[words[position]]
                    position += 1
                    if number >= 0:
                        found.add(number)
        return found
