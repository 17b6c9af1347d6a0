"""How well decisions tell what belongs somewhere from what does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

BOOTSTRAPS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ScopeFigures:
    """Figures about belonging anywhere; None where there are no queries of one kind."""

    inside_count: int
    outside_count: int
    inside_decided: float | None
    """Share of the queries that belong somewhere about which a stage was sure."""
    outside_refused: float | None
    """Recall: share of the queries that belong nowhere about which none was."""
    precision: float | None
    """Share of the queries about which none was sure that do belong nowhere."""
    f1: float | None
    auroc: float | None
    """Of the probability of belonging anywhere; None also where a decision has none."""


def scope_figures(decisions: Sequence[tuple[bool, bool, float | None]]) -> ScopeFigures:
    """Return the figures of `(belongs somewhere, a stage was sure, probability of belonging anywhere)`."""
    inside = [decided for belongs, decided, _ in decisions if belongs]
    outside = [decided for belongs, decided, _ in decisions if not belongs]
    refused_outside = outside.count(False)
    refused = refused_outside + inside.count(False)
    recall = refused_outside / len(outside) if outside else None
    precision = refused_outside / refused if refused and outside else None
    scores = [(belongs, score) for belongs, _, score in decisions if score is not None]
    return ScopeFigures(
        inside_count=len(inside),
        outside_count=len(outside),
        inside_decided=inside.count(True) / len(inside) if inside else None,
        outside_refused=recall,
        precision=precision,
        f1=2 * refused_outside / (refused + len(outside)) if outside else None,
        auroc=auroc(
            [score for belongs, score in scores if belongs], [score for belongs, score in scores if not belongs]
        )
        if inside and outside and len(scores) == len(decisions)
        else None,
    )


def auroc(inside: Sequence[float] | npt.NDArray[Any], outside: Sequence[float] | npt.NDArray[Any]) -> float:
    """Return the chance that a query that belongs somewhere scores above one that does not; ties count half.

    The statistic of Mann and Whitney (1947) over the number of pairs. Raises ValueError if one side is empty.
    """
    if not len(inside) or not len(outside):
        raise ValueError("both sides are needed")
    ordered = np.sort(np.asarray(outside, dtype=float))
    scores = np.asarray(inside, dtype=float)
    below = np.searchsorted(ordered, scores, side="left") + np.searchsorted(ordered, scores, side="right")
    return float(below.mean()) / (2 * len(ordered))


def auroc_interval(
    inside: Sequence[float] | npt.NDArray[Any], outside: Sequence[float] | npt.NDArray[Any], *, seed: int = 0
) -> tuple[float, float]:
    """Return the 95 % bootstrap interval (percentiles of `BOOTSTRAPS` resamples of both sides); CPU-bound."""
    generator = np.random.default_rng(seed)
    first, second = np.asarray(inside, dtype=float), np.asarray(outside, dtype=float)
    drawn = [
        auroc(generator.choice(first, len(first)), generator.choice(second, len(second))) for _ in range(BOOTSTRAPS)
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(low), float(high)
