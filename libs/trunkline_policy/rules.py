"""A policy's rules: who asks, what was decided before and words choose collections or leave them out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from trunkline_policy.lexicon import Lexicon
from trunkline_policy.logical_evidence import Ruling
from trunkline_policy.model import Condition, Rule
from trunkline_policy.results import Caller

NOTHING_EXCLUDED: Final[frozenset[str]] = frozenset()


class _Compiled:
    """One rule with the numbers of its words."""

    __slots__ = ("excludes", "patterns", "phrases", "rulings", "when")

    def __init__(self, rule: Rule, lexicon: Lexicon) -> None:
        self.when: Final = rule.when
        self.phrases = frozenset(lexicon.phrase(text) for text in rule.when.keywords)
        self.patterns = frozenset(lexicon.pattern(regex) for regex in rule.when.patterns)
        self.excludes = frozenset(rule.collections) if rule.effect == "exclude" else frozenset[str]()
        label = f"rule '{rule.name}'"
        self.rulings = (
            tuple(Ruling(name, rule.confidence, label) for name in sorted(set(rule.collections)))
            if rule.effect == "choose"
            else ()
        )

    def holds(self, found: set[int], caller: Caller) -> bool:
        """Return whether everything that the rule gives holds, and of each list any one."""
        return (
            (not self.phrases or not self.phrases.isdisjoint(found))
            and (not self.patterns or not self.patterns.isdisjoint(found))
            and _caller_fits(self.when, caller)
        )


class RuleBook:
    """All rules of a policy. A rule that needs words is looked at only where one of them was found."""

    def __init__(self, rules: Sequence[Rule], lexicon: Lexicon) -> None:
        """Compile; the lexicon must hold the rules' keywords and patterns."""
        self._always: list[_Compiled] = []
        self._by_number: dict[int, list[_Compiled]] = {}
        for rule in rules:
            compiled = _Compiled(rule, lexicon)
            needed = compiled.phrases or compiled.patterns
            for number in needed:
                self._by_number.setdefault(number, []).append(compiled)
            if not needed:
                self._always.append(compiled)

    def apply(self, found: set[int], caller: Caller) -> tuple[list[Ruling], frozenset[str]]:
        """Return what the rules that hold choose, and what they leave out. At most 256 rules are looked at."""
        numbers = self._by_number.keys() & found
        if not numbers and not self._always:
            return [], NOTHING_EXCLUDED
        near = {id(rule): rule for number in numbers for rule in self._by_number[number]}
        holding = [rule for rule in (*self._always, *near.values()) if rule.holds(found, caller)]
        if not holding:
            return [], NOTHING_EXCLUDED
        return (
            [ruling for rule in holding for ruling in rule.rulings],
            frozenset[str]().union(*[rule.excludes for rule in holding]),
        )


def rule_phrases(rules: Iterable[Rule]) -> list[str]:
    """Return all keywords of rules, for the lexicon."""
    return [text for rule in rules for text in rule.when.keywords]


def rule_patterns(rules: Iterable[Rule]) -> list[str]:
    """Return all patterns of rules, for the lexicon."""
    return [regex for rule in rules for regex in rule.when.patterns]


def _caller_fits(when: Condition, caller: Caller) -> bool:
    return (
        (not when.roles or not caller.roles.isdisjoint(when.roles))
        and (not when.previous or any(name in when.previous for name in caller.previous))
        and all(caller.attributes.get(name) in fitting for name, fitting in when.attributes.items())
    )
