"""Finds names and identifiers in documents, such as `INV-2041`, `asyncio.run` or `TaskGroup`, that one target has."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from trunkline_policy.drafting_scores import precision_of
from trunkline_policy.drafting_terms import MAX_TEXT_CHARS, MAX_TEXTS
from trunkline_policy.model import Pattern

MIN_PRECISION: Final = 0.9
"""Share of the texts with an identifier that must be the target's."""
MIN_TEXTS: Final = 3
"""Texts of the target that must have it."""
_MAX_NAMES: Final = 8
"""Names that one pattern lists."""
_MAX_REGEX_CHARS: Final = 256
_KINDS: Final[Mapping[str, re.Pattern[str]]] = {
    "numbered": re.compile(r"\b([A-Z][A-Z0-9]{1,9})-\d+\b"),
    "dotted": re.compile(r"\b([a-z_][a-z0-9_]{2,31})\.[A-Za-z_]\w"),
    "named": re.compile(r"\b([A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+|[a-z][a-z0-9]*(?:_[a-z0-9]+)+)\b"),
}
"""What makes an identifier; its group is what is common to all of its family."""
_REGEXES: Final = {
    "numbered": r"\b(?:{names})-\d+\b",
    "dotted": r"\b(?:{names})\.\w+",
    "named": r"\b(?:{names})\b",
}

Family = tuple[str, str]
"""A kind and what its identifiers have in common."""


class _Found(NamedTuple):
    texts: int
    target: str
    pattern: Pattern


def draft_patterns(documents: Mapping[str, Sequence[str]], *, most_in_all: int) -> dict[str, tuple[Pattern, ...]]:
    """Propose at most one pattern of each kind for each target, in all the `most_in_all` that most texts have."""
    counts: dict[Family, Counter[str]] = {}
    sizes = {target: max(1, len(texts[:MAX_TEXTS])) for target, texts in documents.items()}
    for target, texts in documents.items():
        for text in texts[:MAX_TEXTS]:
            for family in set(_families(text[:MAX_TEXT_CHARS])):
                counts.setdefault(family, Counter())[target] += 1
    telling: dict[tuple[str, str], Counter[str]] = {}
    for (kind, name), by_target in counts.items():
        for target, count in by_target.items():
            if count >= MIN_TEXTS and precision_of(target, by_target, sizes) >= MIN_PRECISION:
                telling.setdefault((target, kind), Counter())[name] = count
    found = [_pattern(target, kind, names) for (target, kind), names in telling.items()]
    found.sort(key=lambda one: (-one.texts, one.target, one.pattern.regex))
    return {target: tuple(one.pattern for one in found[:most_in_all] if one.target == target) for target in documents}


def _families(text: str) -> Iterator[Family]:
    for kind, regex in _KINDS.items():
        for name in regex.findall(text):
            yield kind, name.casefold() if kind == "named" else name


def _pattern(target: str, kind: str, counts: Counter[str]) -> _Found:
    names: list[str] = []
    for name, _ in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:_MAX_NAMES]:
        if len(_REGEXES[kind].format(names="|".join([*names, name]))) <= _MAX_REGEX_CHARS:
            names.append(name)
    regex = _REGEXES[kind].format(names="|".join(names))
    return _Found(max(counts.values()), target, Pattern(regex=regex))
