"""Everything that a stage looks for in a query: phrases and patterns, compiled once, found in one pass each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from trunkline_policy.normal import normalise
from trunkline_policy.patterns import PatternSet
from trunkline_policy.phrases import PhraseTrie
from trunkline_policy.words import Words

NOWHERE: Final = -1
"""The number of a phrase without a word or sign, which is found in no text."""


class Lexicon:
    """Numbers phrases and patterns and finds them. Immutable; safe for several threads."""

    def __init__(self, language: str, phrases: Iterable[str], patterns: Iterable[str]) -> None:
        """Compile; phrases of the same stems have the same number.

        Raises ValueError for a language without a stemmer and for patterns that RE2 does not take. 20,000 phrases take
        about a quarter of a second: compile large policies off an event loop.
        """
        self._words = Words(language)
        by_words: dict[tuple[str, ...], int] = {}
        self._phrases: dict[str, int] = {}
        for phrase in sorted(set(phrases)):
            forms = self._words.phrases(normalise(phrase))
            number = by_words.get(forms[0], len(self._phrases)) if forms else NOWHERE
            by_words.update((form, number) for form in forms)
            self._phrases[phrase] = number
        self._first_pattern = len(self._phrases)
        regexes = sorted(set(patterns))
        self._patterns = {regex: self._first_pattern + index for index, regex in enumerate(regexes)}
        self._trie = PhraseTrie(by_words.items())
        self._set = PatternSet(regexes)

    def __len__(self) -> int:
        return self._first_pattern + len(self._patterns)

    def phrase(self, phrase: str) -> int:
        """Return the number of a phrase that was compiled, or `NOWHERE`."""
        return self._phrases[phrase]

    def pattern(self, regex: str) -> int:
        """Return the number of a pattern that was compiled."""
        return self._patterns[regex]

    def find(self, text: str) -> set[int]:
        """Return the numbers of all that a normalised text holds. Linear in the text, whatever is compiled."""
        found = self._trie.find(self._words.of(text))
        if self._patterns:
            first = self._first_pattern
            found.update([first + index for index in self._set.match(text)])
        return found
