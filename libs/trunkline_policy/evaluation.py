"""How good decisions are on queries whose right answer is known, and what another policy would change."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from trunkline_policy.evaluation_scope import ScopeFigures, scope_figures
from trunkline_policy.significance import sign_test, wilson

DECIDING: Final = frozenset({"explicit", "logical", "rules", "semantic", "classifier", "own_router"})
"""Strategies that name collections because of the query; all others mean that nothing was sure."""
MAX_CONFUSIONS: Final = 50


@dataclass(frozen=True, slots=True)
class Judged:
    """A decision beside the truth."""

    text: str
    right: frozenset[str]
    """Any of them is right; empty: the query belongs nowhere."""
    chosen: tuple[str, ...]
    """Surest first."""
    strategy: str
    """What decided: `logical`, `semantic`, `fallback`, `none`, `refuse`, `all` and so on."""
    in_scope: float | None = None

    @property
    def decided(self) -> bool:
        """Whether a stage was sure."""
        return self.strategy in DECIDING and bool(self.chosen)

    @property
    def correct(self) -> bool:
        """Whether a stage chose a right collection, or none chose anything for what belongs nowhere.

        A fallback that happens to search the right collection, as searching all does, knew nothing and is not right.
        """
        return self.decided and not self.right.isdisjoint(self.chosen) if self.right else not self.decided

    @property
    def best_correct(self) -> bool:
        """Whether the first collection is right; the same as `correct` for what belongs nowhere."""
        return self.decided and self.chosen[0] in self.right if self.right else not self.decided


@dataclass(frozen=True, slots=True)
class Confusion:
    """Queries of one collection that were sent to another first."""

    right: str
    """Empty for what belongs nowhere."""
    chosen: str
    """Empty where nothing was chosen."""
    count: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of a set of decisions. Shares are 0 to 1, and 0 for no queries."""

    count: int
    accuracy: float
    """Share of the queries that are right: see `Judged.correct`."""
    accuracy_low: float
    accuracy_high: float
    """Ends of its 95 % Wilson interval."""
    best_accuracy: float
    """Share whose first collection is right."""
    decided_share: Mapping[str, float]
    """By strategy."""
    accuracy_by_strategy: Mapping[str, float]
    confusions: tuple[Confusion, ...]
    """Most frequent first."""
    scope: ScopeFigures


def evaluate(decisions: Sequence[Judged]) -> Evaluation:
    """Return the figures of decisions about labelled queries."""
    count = len(decisions)
    correct = sum(one.correct for one in decisions)
    low, high = wilson(correct, count)
    groups: dict[str, list[bool]] = defaultdict(list)
    for one in decisions:
        groups[one.strategy].append(one.correct)
    return Evaluation(
        count=count,
        accuracy=correct / count if count else 0.0,
        accuracy_low=low,
        accuracy_high=high,
        best_accuracy=sum(one.best_correct for one in decisions) / count if count else 0.0,
        decided_share={name: len(group) / count for name, group in sorted(groups.items())},
        accuracy_by_strategy={name: sum(group) / len(group) for name, group in sorted(groups.items())},
        confusions=_confusions(decisions),
        scope=scope_figures([(bool(one.right), one.decided, one.in_scope) for one in decisions]),
    )


def _confusions(decisions: Sequence[Judged]) -> tuple[Confusion, ...]:
    pairs = Counter(
        (min(one.right, default=""), one.chosen[0] if one.chosen else "") for one in decisions if not one.best_correct
    )
    ranked = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Confusion(right, chosen, count) for (right, chosen), count in ranked[:MAX_CONFUSIONS])


@dataclass(frozen=True, slots=True)
class Difference:
    """A query that two policies decide differently."""

    text: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    gain: int
    """1 if it becomes right, -1 if it becomes wrong, 0 if it stays what it was."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changes from one policy to another."""

    before: Evaluation
    after: Evaluation
    differences: tuple[Difference, ...]
    """Those that become wrong first, then those that become right."""
    better_count: int
    worse_count: int
    p_value: float
    """Chance that policies that are equally good differ so much (exact sign test of those that change, two-sided)."""


def compare(before: Sequence[Judged], after: Sequence[Judged]) -> Comparison:
    """Return what changes. Raises ValueError if these are not the same queries in the same order."""
    if [one.text for one in before] != [one.text for one in after]:
        raise ValueError("two policies are compared on the same queries")
    differences = [
        Difference(old.text, old.chosen, new.chosen, int(new.correct) - int(old.correct))
        for old, new in zip(before, after, strict=True)
        if (old.chosen, old.decided) != (new.chosen, new.decided)
    ]
    better, worse = (sum(one.gain == sign for one in differences) for sign in (1, -1))
    ordered = sorted(differences, key=lambda one: (one.gain != -1, one.gain != 1))
    return Comparison(evaluate(before), evaluate(after), tuple(ordered), better, worse, sign_test(better, worse))
