"""The words of a text: as they are compared, with where signs stand, in any script."""

from __future__ import annotations

import re
import threading
import unicodedata
from collections.abc import Iterable
from typing import Any, Final

import Stemmer

MAX_WORDS: Final = 2_048
"""Words and signs of a text that are looked at; 4,096 bytes of one-letter words are as many."""
MAX_STEMMED_CHARS: Final = 64
"""Longer words stay as they are: no keyword is longer, and a stemmer need not read 4,096 bytes of one word."""
STEM_CACHE_WORDS: Final = 10_000
"""Words whose stems a stemmer remembers; about 1 MB for each language and thread."""

_FUNCTION_WORDS: Final = """
a about all an and any are as at be because been but by can could did do does for from get had has have how i
if in into is it its just me my no not of on or our out please should so some than that the their them then
there these they this to up us was we were what when where which who whom whose why will with would you your
"""
FUNCTION_WORDS: Final = frozenset(_FUNCTION_WORDS.split())
"""English words that are in queries of every kind, whoever made them keywords."""


def _marks() -> str:
    """Return a character class of what belongs to the letter before it: marks, and joiners of Persian and Indic."""
    marks = [code for code in (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
             if unicodedata.category(chr(code))[0] == "M"]  # fmt: skip
    return "\u200c\u200d" + _ranges(marks)


def _ranges(codes: Iterable[int]) -> str:
    runs: list[list[int]] = []
    for code in codes:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


_MARKS: Final = _marks()
_UNSPACED: Final = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # CJK
    "\u0e00-\u0e7f\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
)
"""Scripts that set no spaces between words: each of their letters is taken for a word, so that a keyword is found
inside a line of them like a phrase."""

# A hyphen between words is no sign: `on-call` and `on call` are the same. A sign that stands before white space has it
# with it, so that `.net` is not found in `broke. Net`.
_SIGN: Final = r"(?!(?<=\w)[-\u2010]\w)[^\w\s]\s?"
_PLAIN: Final = re.compile(rf"\w+|{_SIGN}", re.ASCII)
_ANY: Final = re.compile(
    rf"[{_UNSPACED}][{_MARKS}]*|[^\W{_UNSPACED}](?:[^\W{_UNSPACED}]|[{_MARKS}])*|{_SIGN}"
)  # linear: no alternative can be left and entered again at the same place


class _Stemmers(threading.local):
    """One stemmer for each thread, because Snowball's are not safe for several."""

    def __init__(self, language: str) -> None:
        self.stemmer: Any = Stemmer.Stemmer(language, STEM_CACHE_WORDS)


class Words:
    """Splits texts into words and takes their endings off. Safe for several threads."""

    def __init__(self, language: str) -> None:
        """Use a Snowball stemmer, or none for `none`. Raises ValueError for a language that has none."""
        self._stemmers: _Stemmers | None = None
        if language != "none":
            try:
                self._stemmers = _Stemmers(language)
            except KeyError as exc:
                raise ValueError("language has no stemmer") from exc

    def of(self, text: str) -> list[str]:
        """Return the stems and signs of a normalised text in order, at most `MAX_WORDS`. Linear in the text."""
        words: list[str] = (_PLAIN if text.isascii() else _ANY).findall(text)
        if len(words) > MAX_WORDS:
            del words[MAX_WORDS:]
        if self._stemmers is None:
            return words
        if len(text) > MAX_STEMMED_CHARS and max(map(len, words), default=0) > MAX_STEMMED_CHARS:
            return [self._stem(word) for word in words]
        stems: list[str] = self._stemmers.stemmer.stemWords(words)
        return stems

    def phrases(self, text: str) -> list[tuple[str, ...]]:
        """Return what a normalised keyword can look like within the words of a text; nothing for an empty one."""
        words = tuple(self.of(text))
        if not words:
            return []
        last = words[-1]
        if last.strip().isalnum() or "_" in last:
            return [words]
        return [(*words[:-1], last), (*words[:-1], f"{last} ")]

    def _stem(self, word: str) -> str:
        assert self._stemmers is not None
        return word if len(word) > MAX_STEMMED_CHARS else str(self._stemmers.stemmer.stemWord(word))
