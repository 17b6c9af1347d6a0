"""Keywords that are in each other's way, or say nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from trunkline_policy.lint_findings import Finding, finding, quoted
from trunkline_policy.lint_texts import Place, Stems, families_of, keywords_of
from trunkline_policy.model import RoutingPolicy, Target
from trunkline_policy.normal import normalise
from trunkline_policy.words import FUNCTION_WORDS, Words

_SAMPLE: Final = 20
"""Examples of a target that are looked at for keywords that stand everywhere."""
_MIN_TARGETS: Final = 4
"""Of fewer targets with examples `most others` says nothing."""


def lint_keywords(policy: RoutingPolicy, words: Words) -> Iterator[Finding]:
    """Yield what is to say about keywords. Takes time with their number and the sampled examples."""
    keywords = list(keywords_of(policy, words))
    yield from _single(policy, keywords)
    yield from _alike(keywords)
    yield from _shadowed(keywords)
    for family, targets in families_of(policy).items():
        yield from _everywhere([one for one in keywords if one[1].family == family], targets, words)


def _single(policy: RoutingPolicy, keywords: Sequence[tuple[Stems, Place]]) -> Iterator[Finding]:
    for stems, place in keywords:
        if not stems:
            yield finding("keyword-without-words", place.where, f"{quoted(place.text)} is never found")
        elif policy.language == "english" and normalise(place.text) in FUNCTION_WORDS:
            yield finding("keyword-function-word", place.where, f"{quoted(place.text)} is a word of every query")


def _alike(keywords: Sequence[tuple[Stems, Place]]) -> Iterator[Finding]:
    """Only keywords that speak for a target are rivals: one that speaks against another one sharpens them."""
    first: dict[tuple[str, str, Stems], Place] = {}
    owners: dict[tuple[str, Stems], Place] = {}
    for stems, place in keywords:
        if not stems:
            continue
        before = first.setdefault((place.family, place.target, stems), place)
        if before is not place:
            yield finding("keyword-repeated", place.where, f"{quoted(place.text)} is {quoted(before.text)} again")
        elif place.weight > 0:
            rival = owners.setdefault((place.family, stems), place)
            if rival is not place:
                yield finding(
                    "keyword-overlap", place.where, f"{quoted(place.text)} is a keyword of {rival.target} too"
                )


def _shadowed(keywords: Sequence[tuple[Stems, Place]]) -> Iterator[Finding]:
    own = {(place.family, place.target, stems): place for stems, place in keywords if place.weight > 0}
    for (family, target, stems), place in own.items():
        for part in _parts(stems):
            shorter = own.get((family, target, part))
            if shorter is not None:
                yield finding("keyword-shadowed", place.where, f"{quoted(place.text)} has {quoted(shorter.text)} in it")
                break


def _parts(stems: Stems) -> Iterator[Stems]:
    for length in range(1, len(stems)):
        for start in range(len(stems) - length + 1):
            yield stems[start : start + length]


def _everywhere(
    keywords: Sequence[tuple[Stems, Place]], targets: Mapping[str, Target], words: Words
) -> Iterator[Finding]:
    with_examples = [name for name, target in targets.items() if target.examples]
    if len(with_examples) < _MIN_TARGETS:
        return
    longest = min(4, max((len(stems) for stems, _ in keywords), default=0))
    having: Counter[Stems] = Counter()
    own: dict[str, set[Stems]] = {}
    for name in with_examples:
        own[name] = {
            phrase for example in targets[name].examples[:_SAMPLE]
            for phrase in _phrases(words.of(normalise(example)), longest)
        }  # fmt: skip
        having.update(own[name])
    for stems, place in keywords:
        others = having[stems] - (stems in own.get(place.target, ()))
        if others * 2 > len(with_examples):
            yield finding(
                "keyword-everywhere", place.where, f"{quoted(place.text)} stands in examples of {others} other targets"
            )


def _phrases(stems: Sequence[str], longest: int) -> Iterator[Stems]:
    for start in range(len(stems)):
        for end in range(start + 1, min(start + longest, len(stems)) + 1):
            yield tuple(stems[start:end])
