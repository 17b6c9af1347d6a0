"""Words and phrases of texts, told from one another by their stems and counted by the passages that have them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy.drafting_words import STOP_WORDS
from trunkline_policy.words import Words

MAX_TEXTS: Final = 2_000
"""Texts of one target that are looked at, the first ones."""
MAX_TEXT_CHARS: Final = 16_384
"""Characters of one text that are looked at."""
_PASSAGE_WORDS: Final = 40
"""Words of a passage: queries are short, so what stands far apart in a document never stands in one query."""
_WORD: Final = re.compile(r"[^\W_]+")
_BREAK: Final = re.compile(r"[.,;:!?()\[\]{}<>|\"\u201c\u201d/\\=\n]\s*|\s[-\u2013\u2014]\s|_")
"""What no phrase goes across."""
_MIN_CHARS: Final = 2
_MAX_CHARS: Final = 32
_MAX_PAIR_CHARS: Final = 64
"""A keyword of the format has no more."""

Term = tuple[str, ...]
"""Stems of a word or of two that stand side by side."""


@dataclass(slots=True)
class Counts:
    """How many passages have a term, for each target; and how the term is written most often."""

    passages: dict[str, int]
    """Passages of each target."""
    by_term: dict[Term, Counter[str]]
    texts: dict[Term, Counter[str]]
    """Texts, which are more than passages if they are short, and fewer if they are long."""
    written: dict[Term, Counter[str]]


class _Stems:
    """Stems of words, each found once."""

    def __init__(self, language: str) -> None:
        self._words = Words(language)
        self._known: dict[str, str] = {}

    def of(self, word: str) -> str:
        stem = self._known.get(word)
        if stem is None:
            stem = self._known[word] = " ".join(self._words.of(word))
        return stem


def count_terms(texts: Mapping[str, Sequence[str]], language: str, *, plain: bool = False) -> Counts:
    """Count the words and pairs of words that may become keywords; `plain` leaves out pairs with function words."""
    stems = _Stems(language)
    counts = Counts({}, {}, {}, {})
    for target in sorted(texts):
        counts.passages[target] = 0
        for text in texts[target][:MAX_TEXTS]:
            seen_in_text: set[Term] = set()
            for passage in passages(text):
                terms = dict(_terms(passage, stems, plain=plain))
                counts.passages[target] += 1
                seen_in_text.update(terms)
                for term, written in terms.items():
                    counts.by_term.setdefault(term, Counter())[target] += 1
                    counts.written.setdefault(term, Counter())[written] += 1
            for term in seen_in_text:
                counts.texts.setdefault(term, Counter())[target] += 1
    return counts


def passages(text: str) -> Iterator[list[list[str]]]:
    """Yield a text in passages of about 40 words; each is a list of runs of words that nothing interrupts."""
    passage: list[list[str]] = []
    length = 0
    for run in _BREAK.split(unicodedata.normalize("NFKC", text[:MAX_TEXT_CHARS]).casefold()):
        words = _WORD.findall(run)
        if words:
            passage.append(words)
            length += len(words)
        if length >= _PASSAGE_WORDS:
            yield passage
            passage, length = [], 0
    if passage:
        yield passage


def _terms(passage: Iterable[Sequence[str]], stems: _Stems, *, plain: bool) -> Iterator[tuple[Term, str]]:
    """Yield words that say something, and pairs with at least one of these: `turn off` is more than `turn`."""
    for run in passage:
        content = [is_content(word) for word in run]
        for place, word in enumerate(run):
            stem = stems.of(word)
            if content[place]:
                yield (stem,), word
            if sum(content[place : place + 2]) >= (2 if plain else 1) and place + 1 < len(run):
                following = run[place + 1]
                if len(word) + len(following) < _MAX_PAIR_CHARS:
                    yield (stem, stems.of(following)), f"{word} {following}"


def is_content(word: str) -> bool:
    """Whether a word in lower case can say what a text is about."""
    return word not in STOP_WORDS and _MIN_CHARS <= len(word) <= _MAX_CHARS and not word.isdigit()
