"""Rules: keywords and patterns of a policy, matched against a query's text in linear time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import re2

from trunkline_routing.edge.policy_text import RoutingPolicy, compile_pattern

KEYWORD_CONFIDENCE: Final = 0.8
PATTERN_CONFIDENCE: Final = 0.9
MORE_MATCHES: Final = 0.05
"""Each further match in the same collection adds this much, up to 1."""
MAX_LOOKS: Final = 32
"""Keywords looked for in one text and collection, repeated ones counted: a text of one word must not take long."""


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A collection whose rules matched."""

    collection: str
    confidence: float
    reason: str
    """In words; quotes the policy, never the query."""


@dataclass(frozen=True, slots=True)
class _CollectionRules:
    collection: str
    keywords: Any
    """One RE2 expression of all keywords, or None."""
    patterns: tuple[tuple[str, Any], ...]


class Rules:
    """A policy's rules, compiled once."""

    def __init__(self, policy: RoutingPolicy) -> None:
        """Compile all keywords and patterns."""
        self._limit = policy.max_collections
        self._rules = [
            _CollectionRules(
                name,
                _keywords(rules.keywords),
                tuple((pattern, compile_pattern(pattern)) for pattern in rules.patterns),
            )
            for name, rules in policy.collections.items()
            if rules.keywords or rules.patterns
        ]

    def match(self, text: str) -> list[RuleMatch]:
        """Return the collections that match, surest first, at most the policy's `max_collections`."""
        spaced = " ".join(text.split())  # so that a phrase is found across any white space
        found = [match for rules in self._rules if (match := _match(rules, text, spaced)) is not None]
        found.sort(key=lambda match: (-match.confidence, match.collection))
        return found[: self._limit]


def _match(rules: _CollectionRules, text: str, spaced: str) -> RuleMatch | None:
    words = _words(rules.keywords, spaced) if rules.keywords is not None else []
    patterns = [source for source, pattern in rules.patterns if pattern.search(text) is not None]
    if not words and not patterns:
        return None
    base = PATTERN_CONFIDENCE if patterns else KEYWORD_CONFIDENCE
    confidence = min(1.0, base + MORE_MATCHES * (len(words) + len(patterns) - 1))
    matched = [f"keyword '{word}'" for word in words] + [f"pattern '{source}'" for source in patterns]
    return RuleMatch(rules.collection, confidence, f"{rules.collection}: {', '.join(matched[:8])}")


def _words(keywords: Any, text: str) -> list[str]:
    """Return the distinct keywords in a text. The sign behind one is looked at again: it may stand before the next."""
    words: set[str] = set()
    start = 0
    for _ in range(MAX_LOOKS):
        found = keywords.search(text, start)
        if found is None:
            break
        words.add(found.group(1).lower())
        start = found.end(1)
    return sorted(words)


def _keywords(keywords: Iterable[str]) -> Any:
    escaped = {re2.escape(" ".join(keyword.split())) for keyword in keywords if keyword.strip()}
    if not escaped:
        return None
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = False
    # `\b` would not hold beside a keyword that ends in a sign, such as `c++`; so what may not stand beside it is said.
    # Marks (\pM) belong to words: many scripts write vowels with them.
    longest_first = sorted(escaped, key=lambda word: (-len(word), word))
    beside = r"[^\pL\pM\pN_]"
    return re2.compile(rf"(?:^|{beside})({'|'.join(longest_first)})(?:$|{beside})", options)
