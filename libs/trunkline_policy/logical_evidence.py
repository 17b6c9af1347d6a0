"""What the words of a query say for and against each target, and the confidence that follows.

The confidence is a posterior of naive Bayes over the targets and `none of them`. Each unit of weight multiplies a
target's odds by `UNIT`, so that a target of weight e > 0 stands against `none of them` with odds UNIT**e - 1, and

    confidence(t) = odds(t) / (1 + sum of the odds of all targets).

Alone, weight 1 gives 0.8, the default threshold; a pattern's 1.5 gives 0.91, two keywords 0.96. A rival takes its part:
two targets with one keyword each have 0.44 each, and 0.89 together. The confidence grows with the target's own weight,
falls with any other's, and all of them together never exceed 1.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Final, NamedTuple

from trunkline_policy.lexicon import NOWHERE, Lexicon
from trunkline_policy.limits import MAX_CHOSEN
from trunkline_policy.model import Target
from trunkline_policy.normal import normalise
from trunkline_policy.results import Candidate
from trunkline_policy.words import FUNCTION_WORDS

UNIT: Final = 5.0
"""What weight 1 multiplies the odds by; 1 - 1 / UNIT is the confidence of one keyword alone."""
MAX_WEIGHT: Final = 20.0
"""More evidence makes nothing surer: 1 - UNIT**-20 is 1 but for 1e-14."""
FUNCTION_WORD_WEIGHT: Final = 0.25
"""What a word such as `the` or `how` counts at most as a keyword: 0.33 alone, which decides nothing by default."""
MAX_QUOTED: Final = 8
"""Keywords, patterns and rules that one reason quotes."""
MICRO: Final = 1_000_000
"""Weights are added as whole millionths: such sums do not depend on their order."""


class Posting(NamedTuple):
    """What one phrase or pattern says of one target."""

    target: str
    micro_weight: int
    label: str


class Ruling(NamedTuple):
    """What a rule says of one target."""

    target: str
    confidence: float
    """The target has it at least, whatever its rivals; to them it is a rival of the weight that gives as much alone."""
    label: str


Postings = tuple[tuple[Posting, ...], ...]


def postings_of(lexicon: Lexicon, targets: Mapping[str, Target], language: str) -> Postings:
    """Return what each number of the lexicon says of the targets, whose keywords and patterns it must hold.

    Keywords of one target with the same stems are one keyword with the largest of their weights.
    """
    said: list[dict[str, Posting]] = [{} for _ in range(len(lexicon))]
    for number, posting in _said(lexicon, targets, english=language == "english"):
        if number == NOWHERE:
            continue
        before = said[number].get(posting.target)
        if before is None or (posting.micro_weight, before.label) > (before.micro_weight, posting.label):
            said[number][posting.target] = posting
    return tuple(tuple(one.values()) for one in said)


def weigh(
    found: Collection[int], postings: Postings, rulings: Iterable[Ruling] = (), excluded: frozenset[str] = frozenset()
) -> tuple[Candidate, ...]:
    """Return the targets that more speaks for than against, surest first, ties by name, at most 64.

    `found` are numbers of the lexicon. What is excluded is no rival either. Takes time with what was found alone.
    """
    weights: dict[str, int] = {}
    labels: dict[str, list[str]] = {}
    for number in found:
        for target, micro_weight, label in postings[number]:
            if target in weights:
                weights[target] += micro_weight
                labels[target].append(label)
            else:
                weights[target] = micro_weight
                labels[target] = [label]
    least: dict[str, float] = {}
    for ruling in rulings:
        weights[ruling.target] = weights.get(ruling.target, 0) + _micro_weight_of(ruling.confidence)
        labels.setdefault(ruling.target, []).append(ruling.label)
        least[ruling.target] = max(ruling.confidence, least.get(ruling.target, 0.0))
    odds = {
        target: UNIT ** max(0.0, min(MAX_WEIGHT, weight / MICRO)) - 1.0
        for target, weight in weights.items()
        if (weight > 0 or target in least) and target not in excluded
    }
    return _candidates(odds, least, labels) if odds else ()


def _candidates(
    odds: Mapping[str, float], least: Mapping[str, float], labels: Mapping[str, list[str]]
) -> tuple[Candidate, ...]:
    total = 1.0 + math.fsum(odds.values())
    sure = [(-max(one / total, least.get(target, 0.0)), target) for target, one in odds.items()]
    best = sorted(sure) if len(sure) <= MAX_CHOSEN else nsmallest(MAX_CHOSEN, sure)
    return tuple(
        [Candidate(target, -negative, _reason(target, labels[target], len(odds) - 1)) for negative, target in best]
    )


def _reason(target: str, labels: list[str], rivals: int) -> str:
    told = labels[0] if len(labels) == 1 else ", ".join(sorted(labels)[:MAX_QUOTED])
    return f"{target}: {told}; {rivals} others match too" if rivals else f"{target}: {told}"


def _micro_weight_of(confidence: float) -> int:
    """The weight that alone gives a confidence, rounded down; that of 1 is the one of 1 - 1e-6."""
    return math.floor(-math.log(max(1e-6, 1.0 - confidence), UNIT) * MICRO)


def _said(lexicon: Lexicon, targets: Mapping[str, Target], *, english: bool) -> Iterator[tuple[int, Posting]]:
    for name, target in targets.items():
        for keyword in target.keywords:
            weight = keyword.weight
            if english and normalise(keyword.text) in FUNCTION_WORDS:
                weight = min(weight, FUNCTION_WORD_WEIGHT)
            yield lexicon.phrase(keyword.text), _posting(name, weight, "keyword", keyword.text)
        for pattern in target.patterns:
            yield lexicon.pattern(pattern.regex), _posting(name, pattern.weight, "pattern", pattern.regex)


def _posting(target: str, weight: float, kind: str, quoted: str) -> Posting:
    against = " (against)" if weight < 0 else ""
    return Posting(target, round(weight * MICRO), f"{kind} '{quoted}'{against}")
