"""Finds what stands for a target among its documents: headings, questions and sentences that are typical of it."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from trunkline_policy.drafting_terms import MAX_TEXTS
from trunkline_policy.model import Keyword
from trunkline_policy.normal import normalise
from trunkline_policy.words import Words

MAX_EXAMPLES: Final = 10
"""Examples of one target: as many as a trained head wants at least."""
_LOOKED_AT_CHARS: Final = 1_000
"""What a text is about it says at its beginning."""
_MIN_WORDS: Final = 3
_MAX_CHARS: Final = 120
_PARAGRAPH: Final = re.compile(r"\n\s*\n|\n(?=\s*[-*+] )")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")
_UNFINISHED: Final = (",", ":", ";", "-")
_CODE: Final = re.compile(r"[(){}\[\]=<>|\\/_`*#@$%^~]|--|::|\.\.|>>>")
"""Signs of code, markup and tables: nobody asks like this."""


class TypicalTexts:
    """Says how typical a sentence is of a target, by the target's keywords in it."""

    def __init__(self, keywords: Sequence[Keyword], words: Words) -> None:
        self._words = words
        self._weights = {tuple(words.of(normalise(one.text))): one.weight for one in keywords}

    def score(self, sentence: str) -> float:
        """Return the weight of the keywords for each word, long sentences favoured a little; 0 without any."""
        words = self._words.of(normalise(sentence))
        terms: set[tuple[str, ...]] = {(word,) for word in words} | set(pairwise(words))
        return sum(self._weights.get(term, 0.0) for term in terms) / math.sqrt(max(1, len(words)))


def draft_description(texts: Sequence[str], keywords: Sequence[Keyword], words: Words) -> str:
    """Return the most typical sentence or heading that is no question, "" if none has a keyword."""
    typical = TypicalTexts(keywords, words)
    sentences = (one for one in _sentences(texts) if not one.endswith("?"))
    best = max(sentences, key=lambda one: (typical.score(one), one), default="")
    return best if typical.score(best) > 0 else ""


def draft_examples(
    texts: Mapping[str, Sequence[str]], keywords: Mapping[str, Sequence[Keyword]], words: Words
) -> dict[str, tuple[str, ...]]:
    """Return for each target at most ten headings, questions and sentences, the most typical ones first.

    Questions go first, as they are what a query is like; what stands in several targets is an example of none.
    """
    candidates = {target: {normalise(one): one for one in _sentences(own)} for target, own in texts.items()}
    owners: dict[str, int] = {}
    for own in candidates.values():
        for key in own:
            owners[key] = owners.get(key, 0) + 1
    return {
        target: _best([one for key, one in own.items() if owners[key] == 1], TypicalTexts(keywords[target], words))
        for target, own in candidates.items()
    }


def _best(sentences: Collection[str], typical: TypicalTexts) -> tuple[str, ...]:
    scored = [(not one.endswith("?"), -typical.score(one), one) for one in sentences]
    return tuple(one for _, score, one in sorted(scored) if score < 0)[:MAX_EXAMPLES]


def _sentences(texts: Sequence[str]) -> Iterator[str]:
    """Yield a text's heading, its first sentence, and its questions, where they read like language."""
    for text in texts[:MAX_TEXTS]:
        for number, paragraph in enumerate(_PARAGRAPH.split(text[:_LOOKED_AT_CHARS])):
            for place, part in enumerate(_SENTENCE.split(paragraph)):
                sentence = " ".join(part.split()).lstrip("-*+ ")
                begins = place == 0 and number <= 1  # a heading, or what follows it
                if (begins or sentence.endswith("?")) and _reads_like_language(sentence):
                    yield sentence


def _reads_like_language(sentence: str) -> bool:
    return (
        len(sentence) <= _MAX_CHARS
        and len(sentence.split()) >= _MIN_WORDS
        and sentence[0].isalpha()
        and (not sentence[0].islower() or sentence.endswith("?"))
        and not sentence.endswith(_UNFINISHED)
        and _CODE.search(sentence) is None
    )
