"""Figures of a policy over labelled queries, for people and programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from trunkline_cli.output import Output, one_line
from trunkline_cli.policy.learners import Evaluated, decision_data
from trunkline_cli.policy.measure import cost_per_1000, targets_right
from trunkline_policy.evaluation import Comparison, Difference, Evaluation, compare, evaluate

_PAIRS: Final = 10
_CHANGES: Final = 20
_TEXT_CHARS: Final = 70
_ROWS: Final[Sequence[tuple[str, Callable[[Evaluation], float | None]]]] = (
    ("accuracy", lambda each: each.best_accuracy),
    ("  right among those searched", lambda each: each.accuracy),
    ("of those that belong somewhere, decided", lambda each: each.scope.inside_decided),
    ("of those that belong nowhere, found out", lambda each: each.scope.outside_refused),
    ("  rightly undecided", lambda each: each.scope.precision),
    ("  area under the ROC curve", lambda each: each.scope.auroc),
)
_VERDICTS: Final = {1: ("better", "green"), -1: ("worse", "red"), 0: ("other", "dim")}


def show_evaluation(out: Output, evaluated: Evaluated) -> None:
    """Print what the labelled queries show, and what would change against the live policy."""
    figures = evaluate(evaluated.judged)
    compared = comparison(evaluated)
    out.line(
        f"{figures.count:,} queries; semantics rest on {evaluated.head_kind} of {evaluated.example_count:,} examples"
    )
    columns = [figures] if compared is None else [compared.after, compared.before]
    rows = [(name, *(_shown(of(each)) for each in columns)) for name, of in _ROWS if of(figures) is not None]
    rows += [
        (f"{name.replace('_', ' ')} right", _shown(share))
        for name, share in targets_right(evaluated.queries, evaluated.decisions).items()
        if share is not None
    ]
    out.table(("", "this policy", f"live version {evaluated.live_version}")[: 1 + len(columns)], rows)
    shares = ", ".join(f"{name} {share:.0%}" for name, share in figures.decided_share.items())
    out.line(f"decided by: {shares}")
    out.line(f"cost: {cost_per_1000(evaluated.judged):,.0f} units for 1,000 decisions")
    for pair in figures.confusions[:_PAIRS]:
        right, chosen = pair.right or "nowhere", pair.chosen or "nowhere"
        out.line(f"confused: {pair.count:,} of {right} went to {chosen}", style="yellow")
    if compared is not None:
        _show_differences(out, compared)


def comparison(evaluated: Evaluated) -> Comparison | None:
    """Return what would change against the live policy; None without one, or where it was itself asked about."""
    return None if evaluated.judged_live is None else compare(evaluated.judged_live, evaluated.judged)


def _show_differences(out: Output, compared: Comparison) -> None:
    found = compared.differences
    out.line(
        f"against the live policy {len(found):,} queries would be decided otherwise: {compared.better_count:,} better, "
        f"{compared.worse_count:,} worse (p = {compared.p_value:.3f})"
    )
    for item in found[:_CHANGES]:
        verdict, style = _VERDICTS[item.gain]
        before, after = ", ".join(item.before) or "nowhere", ", ".join(item.after) or "nowhere"
        out.line(f"  {verdict:6} {one_line(item.text, _TEXT_CHARS)}: {before} -> {after}", style=style)
    if len(found) > _CHANGES:
        out.line(f"  ... and {len(found) - _CHANGES:,} more; --json tells all")


def evaluation_data(evaluated: Evaluated) -> Mapping[str, Any]:
    """Return everything as plain data, every query included."""
    compared = comparison(evaluated)
    return {
        "queries": len(evaluated.queries),
        "head": evaluated.head_kind,
        "examples": evaluated.example_count,
        "live_version": evaluated.live_version,
        "figures": {
            **_figures_data(evaluate(evaluated.judged)),
            **targets_right(evaluated.queries, evaluated.decisions),
            "cost_per_1000": cost_per_1000(evaluated.judged),
        },
        "live_figures": None if compared is None else _figures_data(compared.before),
        "differences": [] if compared is None else [_difference_data(item) for item in compared.differences],
        "better": None if compared is None else compared.better_count,
        "worse": None if compared is None else compared.worse_count,
        "p_value": None if compared is None else compared.p_value,
        "results": [
            decision_data(query, one, decision)
            for query, one, decision in zip(evaluated.queries, evaluated.judged, evaluated.decisions, strict=True)
        ],
    }


def _figures_data(figures: Evaluation) -> Mapping[str, Any]:
    return {
        "accuracy": figures.best_accuracy,
        "searched_accuracy": figures.accuracy,
        "searched_accuracy_interval": [figures.accuracy_low, figures.accuracy_high],
        "decided_by": dict(figures.decided_share),
        "accuracy_by_stage": dict(figures.accuracy_by_strategy),
        "scope": asdict(figures.scope),
        "confusions": [asdict(pair) for pair in figures.confusions],
    }


def _difference_data(item: Difference) -> Mapping[str, Any]:
    verdict, _ = _VERDICTS[item.gain]
    return {"text": item.text, "live": list(item.before), "candidate": list(item.after), "verdict": verdict}


def _shown(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
