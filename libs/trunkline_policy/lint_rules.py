"""Rules that hold always, never matter, or say what another one says."""

from __future__ import annotations

from collections.abc import Iterator

from trunkline_policy.lint_findings import Finding, finding, quoted
from trunkline_policy.model import Condition, RoutingPolicy, Rule
from trunkline_policy.normal import normalise
from trunkline_policy.words import Words

Requirements = dict[str, frozenset[str]]
"""What a condition asks for, each with the values any of which fits."""


def lint_rules(policy: RoutingPolicy, words: Words) -> Iterator[Finding]:
    """Yield what is to say about rules. Compares all pairs, of which there are at most 65,536."""
    required = [_required(rule.when, words) for rule in policy.rules]
    for number, rule in enumerate(policy.rules):
        where = f"rules.{number}"
        if not required[number]:
            yield finding("rule-unconditional", where, f"{quoted(rule.name)} holds for every query")
        for other_number, other in enumerate(policy.rules):
            if other_number == number or not _implies(required[number], required[other_number]):
                continue
            if rule.effect == "choose" and other.effect == "exclude" and _covers(other, rule):
                yield finding(
                    "rule-shadowed", where, f"{quoted(rule.name)} chooses what {quoted(other.name)} always leaves out"
                )
                break
            same = required[number] == required[other_number]
            if _says_as_much(other, rule) and not (same and _says_as_much(rule, other) and number < other_number):
                yield finding("rule-redundant", where, f"{quoted(other.name)} says the same wherever it holds")
                break


def _required(when: Condition, words: Words) -> Requirements:
    lists = {
        "roles": frozenset(when.roles),
        "previous": frozenset(when.previous),
        "keywords": frozenset(" ".join(words.of(normalise(text))) for text in when.keywords),
        "patterns": frozenset(when.patterns),
        **{f"attributes.{name}": frozenset(values) for name, values in when.attributes.items()},
    }
    return {name: values for name, values in lists.items() if values or name.startswith("attributes.")}


def _implies(narrow: Requirements, wide: Requirements) -> bool:
    """Whether one condition holds only where another one does."""
    return all(name in narrow and narrow[name] <= values for name, values in wide.items())


def _covers(wide: Rule, narrow: Rule) -> bool:
    return set(narrow.collections) <= set(wide.collections)


def _says_as_much(other: Rule, rule: Rule) -> bool:
    return (
        other.effect == rule.effect
        and _covers(other, rule)
        and (rule.effect == "exclude" or other.confidence >= rule.confidence)
    )
