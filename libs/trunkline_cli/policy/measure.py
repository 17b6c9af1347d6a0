"""What labelled queries show about a policy: how often it is right, what it mixes up, and what would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.labelled import Labelled

NOWHERE: Final = "(nowhere)"
"""Stands for no collection, as a label and as a decision."""
_UNDECIDED: Final = frozenset({trail_pb.STRATEGY_FALLBACK, trail_pb.STRATEGY_NONE})
"""What a policy says of a query that no stage decides."""
_PREFIX: Final = "STRATEGY_"


@dataclass(slots=True)
class Figures:
    """Counts over labelled queries as one policy decides them."""

    in_scope: int = 0
    right: int = 0
    """In scope, and the surest collection is one of the right ones."""
    found: int = 0
    """In scope, and a right collection is among those chosen."""
    out_of_scope: int = 0
    refused: int = 0
    """Out of scope, and no stage decided."""
    missed: int = 0
    """In scope, and no stage decided."""
    stages: Counter[str] = field(default_factory=Counter)
    """Queries by what decided."""
    confusion: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Wrong decisions by right and chosen collection."""
    targets: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Labelled templates and model classes, by whether they were chosen."""

    @property
    def accuracy(self) -> float | None:
        """Share of the queries in scope whose surest collection is right; None without any."""
        return self.right / self.in_scope if self.in_scope else None

    @property
    def out_of_scope_recall(self) -> float | None:
        """Share of the queries out of scope that no stage decided; None without any."""
        return self.refused / self.out_of_scope if self.out_of_scope else None

    @property
    def out_of_scope_precision(self) -> float | None:
        """Share of the undecided queries that really belong nowhere; None without any."""
        undecided = self.refused + self.missed
        return self.refused / undecided if undecided else None

    def share_right(self, target: str) -> float | None:
        """Return the share of `template` or `model_class` labels that were chosen; None without labels."""
        right, wrong = self.targets[target, True], self.targets[target, False]
        return right / (right + wrong) if right + wrong else None

    def note(self, query: Labelled, decision: learning_pb.EvaluatedDecision) -> None:
        """Count one query."""
        self.stages[stage_of(decision)] += 1
        undecided = decision.strategy in _UNDECIDED
        chosen = names_of(decision)
        if query.collections:
            self.in_scope += 1
            self.found += bool(set(chosen) & set(query.collections))
            self.missed += undecided
        else:
            self.out_of_scope += 1
            self.refused += undecided
        if is_right(query, decision):
            self.right += bool(query.collections)
        else:
            self.confusion[_label(query), NOWHERE if undecided or not chosen else chosen[0]] += 1
        for target, wanted, got in (
            ("template", query.template, decision.template),
            ("model_class", query.model_class, decision.model_class),
        ):
            if wanted:
                self.targets[target, wanted == got] += 1


@dataclass(frozen=True, slots=True)
class Difference:
    """A query that two policies send to different collections."""

    text: str
    right: str
    live: tuple[str, ...]
    candidate: tuple[str, ...]
    verdict: str
    """`better`, `worse`, or `other` where both are right or both wrong."""


def measure(queries: Iterable[Labelled], decisions: Iterable[learning_pb.EvaluatedDecision]) -> Figures:
    """Return the figures of queries and their decisions, in the same order."""
    figures = Figures()
    for query, decision in zip(queries, decisions, strict=True):
        figures.note(query, decision)
    return figures


def differences(queries: Iterable[Labelled], results: Iterable[learning_pb.EvaluatedQuery]) -> list[Difference]:
    """Return what would change for the queries if the candidate replaced the live policy: the worst first."""
    found = [
        _difference(query, result)
        for query, result in zip(queries, results, strict=True)
        if set(names_of(result.live)) != set(names_of(result.candidate))
    ]
    return sorted(found, key=lambda item: ("worse", "other", "better").index(item.verdict))


def is_right(query: Labelled, decision: learning_pb.EvaluatedDecision) -> bool:
    """Return whether the surest collection is a right one; for a query that belongs nowhere, whether none decided."""
    if not query.collections:
        return decision.strategy in _UNDECIDED
    if decision.strategy in _UNDECIDED:
        # A fallback to one collection is an answer; several are searched because there is none.
        return len(decision.chosen) == 1 and decision.chosen[0].name in query.collections
    return bool(decision.chosen) and decision.chosen[0].name in query.collections


def names_of(decision: learning_pb.EvaluatedDecision) -> tuple[str, ...]:
    """Return the chosen collections, surest first."""
    return tuple(item.name for item in decision.chosen)


def stage_of(decision: learning_pb.EvaluatedDecision) -> str:
    """Return what decided, in the words of the trail."""
    value = trail_pb.Strategy.DESCRIPTOR.values_by_number.get(decision.strategy)
    return f"UNKNOWN_{decision.strategy}" if value is None else str(value.name).removeprefix(_PREFIX)


def _difference(query: Labelled, result: learning_pb.EvaluatedQuery) -> Difference:
    before, after = is_right(query, result.live), is_right(query, result.candidate)
    verdict = "other" if before == after else "better" if after else "worse"
    return Difference(query.text, _label(query), names_of(result.live), names_of(result.candidate), verdict)


def _label(query: Labelled) -> str:
    return "|".join(query.collections) or NOWHERE


def batches(queries: Sequence[Labelled], size: int) -> list[Sequence[Labelled]]:
    """Return the queries in groups of at most `size`."""
    return [queries[start : start + size] for start in range(0, len(queries), size)]
