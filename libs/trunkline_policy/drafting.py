"""Drafts a policy from the texts of its targets: documents of collections, or queries that belong to them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from trunkline_policy import limits
from trunkline_policy.drafting_identifiers import draft_patterns
from trunkline_policy.drafting_scores import precision_of, z_score
from trunkline_policy.drafting_terms import Counts, Term, count_terms
from trunkline_policy.drafting_texts import draft_description, draft_examples
from trunkline_policy.model import CollectionPolicy, Keyword, RoutingPolicy
from trunkline_policy.words import Words

MIN_PRECISION: Final = 0.5
"""A keyword is proposed only if at least half of what has it belongs to its target."""
_ABOVE_CHANCE: Final = 1.25
"""By how much a keyword must be more precise than chance, which is one half of two targets."""
_MIN_GAIN: Final = 0.1
"""By how much a phrase must be more precise than its words that were chosen: what has the phrase has these too."""
_KEYWORDS: Final = 32
"""Keywords of a drafted collection: what a person still reads through; 12 decide a third fewer queries."""
_MIN_PASSAGES: Final = 2
"""Passages that must have a term."""
_FEW_PASSAGES: Final = 8
"""Below so many each text is a good part of all there is."""
_MAX_WEIGHT: Final = 3.0
_BASE: Final = 0.8
"""Confidence of one keyword of weight 1 alone, by the logical stage."""


class _Scored(NamedTuple):
    term: Term
    z: float
    precision: float


def draft_keywords(
    texts: Mapping[str, Sequence[str]],
    *,
    per_target: int = 12,
    language: str = "english",
    min_precision: float = MIN_PRECISION,
    plain: bool = False,
) -> dict[str, tuple[Keyword, ...]]:
    """Propose at most `per_target` (1 to 128) words and pairs of words for each target, the most telling ones first.

    Terms are ranked by `z_score`, counted by passages of a text so that one that repeats a word does not make a keyword
    of it. A term is proposed if at least `min_precision` of what has it, and more than by chance, is the target's
    (`precision_of`); the weight w says the same as that precision p to the logical stage: 1 - (1 - 0.8)^w = p, w up to
    3. `plain` leaves out pairs like `turn off`, which tell queries apart but read like accidents in a draft that was
    made from documents.

    The same texts give the same keywords. 15,000 short queries take a second, 10 million characters of documents some
    ten. Raises ValueError for a language without a stemmer.
    """
    counts = count_terms(texts, language, plain=plain)
    ranked = _ranked(counts, min_precision)
    return {target: _chosen(counts, ranked[target], min(per_target, limits.MAX_KEYWORDS)) for target in texts}


def draft_policy(
    documents: Mapping[str, Sequence[str]],
    *,
    descriptions: Mapping[str, str] | None = None,
    language: str = "english",
) -> RoutingPolicy:
    """Propose a hybrid policy for collections of documents (1 to 1,000).

    Keywords as by `draft_keywords`; patterns for identifiers and names; the given descriptions, or the most typical
    sentence; and for examples headings, questions and first sentences that the documents really have. Raises ValueError
    without any collection, with too many, and for a language without a stemmer.
    """
    if not 1 <= len(documents) <= limits.MAX_COLLECTIONS:
        raise ValueError(f"a policy has 1 to {limits.MAX_COLLECTIONS} collections")
    given, words = descriptions or {}, Words(language)
    per_target = min(_KEYWORDS, limits.MAX_ALL_KEYWORDS // len(documents))
    keywords = draft_keywords(documents, per_target=per_target, language=language, plain=True)
    patterns = draft_patterns(documents, most_in_all=limits.MAX_ALL_PATTERNS)
    examples = draft_examples(documents, keywords, words)
    collections = {
        name: CollectionPolicy(
            description=given.get(name, "")[:1024] or draft_description(texts, keywords[name], words),
            keywords=keywords[name],
            patterns=patterns[name],
            examples=examples[name],
        )
        for name, texts in documents.items()
    }
    return RoutingPolicy(version=2, strategy="hybrid", language=language, collections=collections)


def _ranked(counts: Counts, min_precision: float) -> dict[str, list[_Scored]]:
    ranked: dict[str, list[_Scored]] = {target: [] for target in counts.passages}
    totals = dict.fromkeys(counts.passages, 0)
    for by_target in counts.by_term.values():
        for target, count in by_target.items():
            totals[target] += count
    everything = sum(totals.values())
    least = max(min_precision, _ABOVE_CHANCE / len(totals)) if len(totals) > 1 else min_precision
    for term, by_target in counts.by_term.items():
        together = by_target.total()
        for target, count in by_target.items():
            if count < _MIN_PASSAGES or counts.texts[term][target] < _least_texts(counts, target):
                continue
            precision = precision_of(target, by_target, counts.passages)
            if precision < least:
                continue
            z = z_score(count, totals[target], together - count, everything - totals[target])
            ranked[target].append(_Scored(term, z, precision))
    for found in ranked.values():
        found.sort(key=lambda one: (-one.z, -one.precision, one.term))
    return ranked


def _least_texts(counts: Counts, target: str) -> int:
    """A word of one document alone is no word of a collection, unless it has hardly any."""
    return 2 if counts.passages[target] >= _FEW_PASSAGES else 1


def _chosen(counts: Counts, ranked: Sequence[_Scored], most: int) -> tuple[Keyword, ...]:
    chosen: dict[Term, _Scored] = {}
    for one in ranked:
        words = [chosen[part] for part in ((word,) for word in one.term) if part in chosen and part != one.term]
        if all(one.precision >= word.precision + _MIN_GAIN for word in words):
            chosen[one.term] = one
        if len(chosen) == most:
            break
    return tuple(Keyword(text=_as_written(counts, term), weight=_weight(one.precision)) for term, one in chosen.items())


def _as_written(counts: Counts, term: Term) -> str:
    return min(counts.written[term].items(), key=lambda one: (-one[1], one[0]))[0][:64]


def _weight(precision: float) -> float:
    return round(min(_MAX_WEIGHT, math.log(1 - precision) / math.log(1 - _BASE)), 1)
