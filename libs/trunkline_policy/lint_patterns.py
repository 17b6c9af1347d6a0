"""Patterns that match too much. Pairs of patterns are not compared: each is tried on what other targets have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from trunkline_policy.document_checks import patterns_of
from trunkline_policy.lint_backtracking import backtracks
from trunkline_policy.lint_findings import Finding, finding, quoted
from trunkline_policy.lint_texts import families_of
from trunkline_policy.model import RoutingPolicy, Target
from trunkline_policy.normal import normalise
from trunkline_policy.patterns import PatternSet

_SAMPLE: Final = 10
"""Examples, and keywords, of a target on which the others' patterns are tried."""
_MIN_TARGETS: Final = 4


def lint_patterns(policy: RoutingPolicy) -> Iterator[Finding]:
    """Yield what is to say about patterns, those of rules too. Raises ValueError if one does not compile."""
    patterns = list(patterns_of(policy))
    empty = set(PatternSet([regex for _, regex in patterns]).match(""))
    first: dict[tuple[str, str], str] = {}
    for number, (where, regex) in enumerate(patterns):
        if number in empty:
            yield finding("pattern-matches-everything", where, f"{quoted(regex)} matches the empty text")
        if backtracks(regex):
            yield finding(
                "pattern-backtracks", where, f"{quoted(regex)} takes exponential time in engines that backtrack"
            )
        family = where.split(".", 1)[0]
        if family != "rules" and first.setdefault((family, regex), where) != where:
            yield finding("pattern-repeated", where, f"{quoted(regex)} stands at {first[family, regex]} too")
    for family, targets in families_of(policy).items():
        yield from _overlaps(family, targets)


def _overlaps(family: str, targets: Mapping[str, Target]) -> Iterator[Finding]:
    owned = [
        (name, number, pattern.regex) for name, target in targets.items()
        for number, pattern in enumerate(target.patterns) if pattern.weight > 0
    ]  # fmt: skip
    if not owned:
        return
    compiled = PatternSet([regex for _, _, regex in owned])
    matched: list[Counter[str]] = [Counter() for _ in owned]
    samples = 0
    for name, target in targets.items():
        for text in (*target.examples[:_SAMPLE], *(one.text for one in target.keywords[:_SAMPLE] if one.weight > 0)):
            samples += 1
            for number in compiled.match(normalise(text)):
                matched[number][name] += 1
    for (name, number, regex), counts in zip(owned, matched, strict=True):
        others = {other: count for other, count in counts.items() if other != name}
        where = f"{family}.{name}.patterns.{number}"
        if len(others) * 2 > len(targets) >= _MIN_TARGETS:
            yield finding(
                "pattern-matches-most", where, f"{quoted(regex)} matches texts of {len(others)} other targets"
            )
        elif others:
            most = max(sorted(others), key=others.__getitem__)
            yield finding("pattern-overlap", where, f"{quoted(regex)} matches {others[most]} of the texts of {most}")
