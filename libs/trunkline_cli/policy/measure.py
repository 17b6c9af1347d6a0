"""What labelled queries show about a policy, from what a learner says of each; the figures are `evaluation`'s."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline.routing.v1 import learning_service_pb2 as learning_pb
from trunkline_cli.policy.labelled import Labelled
from trunkline_policy.evaluation import Judged

_STRATEGIES: Final = {
    trail_pb.STRATEGY_EXPLICIT: "explicit",
    trail_pb.STRATEGY_RULES: "logical",
    trail_pb.STRATEGY_SEMANTIC: "semantic",
    trail_pb.STRATEGY_FALLBACK: "fallback",
    trail_pb.STRATEGY_NONE: "none",
    trail_pb.STRATEGY_ALL: "all",
    trail_pb.STRATEGY_CLASSIFIER: "model",
    trail_pb.STRATEGY_OWN_ROUTER: "own_router",
}
"""The contract's strategies in the words of `evaluation`."""
_FREE: Final = frozenset({"explicit", "logical", "all"})


def judged(query: Labelled, decision: learning_pb.EvaluatedDecision) -> Judged:
    """Return a decision beside the truth."""
    strategy = _STRATEGIES.get(decision.strategy, f"unknown {decision.strategy}")
    # Only semantics know whether a query belongs anywhere; where they were not asked, 0 stands for nothing known.
    in_scope = decision.in_scope if decision.semantic or decision.in_scope else None
    chosen = tuple(item.name for item in decision.chosen)
    return Judged(query.text, frozenset(query.collections), chosen, strategy, in_scope)


def judged_all(queries: Iterable[Labelled], decisions: Iterable[learning_pb.EvaluatedDecision]) -> list[Judged]:
    """Return all decisions beside the truth, in order. Raises ValueError if there are not as many of each."""
    return [judged(query, decision) for query, decision in zip(queries, decisions, strict=True)]


def targets_right(
    queries: Iterable[Labelled], decisions: Iterable[learning_pb.EvaluatedDecision]
) -> dict[str, float | None]:
    """Return the shares of the labelled templates and model classes that were chosen; None without labels."""
    counts: Counter[tuple[str, bool]] = Counter()
    for query, decision in zip(queries, decisions, strict=True):
        for name, wanted, got in (
            ("template", query.template, decision.template),
            ("model_class", query.model_class, decision.model_class),
        ):
            if wanted:
                counts[name, wanted == got] += 1
    return {name: _share(counts[name, True], counts[name, False]) for name in ("template", "model_class")}


def cost_per_1000(decisions: Sequence[Judged]) -> float:
    """Return cost units for 1,000 decisions: rules cost nothing, whatever comes behind them one embedding."""
    paid = sum(item.strategy not in _FREE for item in decisions)
    return 1000.0 * paid / len(decisions) if decisions else 0.0


def batches(queries: Sequence[Labelled], size: int) -> list[Sequence[Labelled]]:
    """Return the queries in groups of at most `size`."""
    return [queries[start : start + size] for start in range(0, len(queries), size)]


def _share(right: int, wrong: int) -> float | None:
    return right / (right + wrong) if right + wrong else None
