"""Confidences that are probabilities: the temperature of a classifier, and how far confidences are from the truth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

MOST_FACTOR: Final = 8.0
"""Logits are made at most so many times larger or smaller."""
_STEPS: Final = 40


def grouped_shares(logits: npt.NDArray[Any], starts: npt.NDArray[np.intp]) -> npt.NDArray[Any]:
    """Return the probability of each target (column) for each query (row), from the logits of the targets' rows.

    `starts` are the columns at which each target's logits begin.
    """
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = np.add.reduceat(raised, starts, axis=1)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def temperature_factor(logits: npt.NDArray[Any], right: npt.NDArray[np.intp]) -> float:
    """Return what the logits of what was not trained on are to be multiplied by, so that log loss is least.

    Temperature scaling (Guo et al., 2017), by golden section over the logarithm; a row for each query, a column for
    each target, `right` is the column of the right one. 1 if there are no rows.
    """
    if not len(logits):
        return 1.0
    rows = np.arange(len(right))

    def loss(log_factor: float) -> float:
        scaled = logits * math.exp(log_factor)
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[rows, right]).mean())

    low, high = -math.log(MOST_FACTOR), math.log(MOST_FACTOR)
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    for _ in range(_STEPS):
        left, middle = high - ratio * (high - low), low + ratio * (high - low)
        if loss(left) <= loss(middle):
            high = middle
        else:
            low = left
    return math.exp((low + high) / 2.0)


def calibration_error(confidences: Sequence[float], right: Sequence[bool], *, bins: int = 10) -> float:
    """Return the expected calibration error, 0 to 1: how far confidence and share of right answers lie apart.

    Over `bins` groups of equally many (Nguyen and O'Connor, 2015), weighted by their sizes. 0 for no queries.
    """
    order = np.argsort(np.asarray(confidences, dtype=float), kind="stable")
    gaps = [
        abs(float(np.mean(np.asarray(confidences, dtype=float)[group])) - float(np.mean(np.asarray(right)[group])))
        * len(group)
        for group in np.array_split(order, min(bins, max(1, len(order))))
        if len(group)
    ]
    return sum(gaps) / len(order) if len(order) else 0.0
