"""The logical stage: a query's collections by the policy's keywords, patterns and rules, without any vector."""

from __future__ import annotations

from trunkline_policy.lexicon import Lexicon
from trunkline_policy.logical_evidence import postings_of, weigh
from trunkline_policy.model import RoutingPolicy
from trunkline_policy.normal import MAX_TEXT_CHARS, normalise
from trunkline_policy.results import NOBODY, NOTHING, Caller, StageResult
from trunkline_policy.rules import RuleBook, rule_patterns, rule_phrases


class LogicalStage:
    """A policy's words, compiled once. Immutable; safe for several threads.

    A decision takes time with the text and with what was found in it, not with how much the policy holds.
    """

    def __init__(self, policy: RoutingPolicy) -> None:
        """Compile; about 10 us for each keyword. Raises ValueError for what `parse_policy` would have refused."""
        targets = policy.collections
        phrases = [keyword.text for target in targets.values() for keyword in target.keywords]
        patterns = [pattern.regex for target in targets.values() for pattern in target.patterns]
        self._lexicon = Lexicon(
            policy.language, phrases + rule_phrases(policy.rules), patterns + rule_patterns(policy.rules)
        )
        self._postings = postings_of(self._lexicon, targets, policy.language)
        self._rules = RuleBook(policy.rules, self._lexicon)
        self._idle = not len(self._lexicon) and not policy.rules

    def decide(self, text: str, caller: Caller = NOBODY) -> StageResult:
        """Return the collections that the text speaks for. What is longer than 4,096 characters is cut.

        The result depends on `normalise(text)` and the caller alone: patterns see lower case and single spaces.
        """
        if self._idle:  # a policy that decides by meaning alone
            return NOTHING
        found = self._lexicon.find(normalise(text[:MAX_TEXT_CHARS]))
        rulings, excluded = self._rules.apply(found, caller)
        if not found and not rulings and not excluded:
            return NOTHING
        return StageResult(weigh(found, self._postings, rulings, excluded), excluded=excluded)
