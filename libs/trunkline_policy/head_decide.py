"""From the products of a query with a family's rows to a stage's result."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.head_parts import OUTSIDE, FamilyHead, Floats
from trunkline_policy.results import Candidate, StageResult

MAX_CANDIDATES: Final = 64
MIN_CANDIDATES: Final = 8
"""So many are told however unlikely they are; more of them only from `LEAST_CONFIDENCE` on."""
LEAST_CONFIDENCE: Final = 0.001
SMALLEST: Final = 1e-30
"""Keeps logarithms and quotients finite."""

Starts = npt.NDArray[np.intp]


class FamilyDecision:
    """Reads one family's part of the product; everything that does not depend on the query is made ahead."""

    def __init__(self, head: FamilyHead, first_row: int) -> None:
        """Take a head whose prototypes begin at `first_row` of the product; its weights follow at once."""
        self._linear = head.linear
        self._prototypes = slice(first_row, first_row + len(head.prototypes))
        self._weights = slice(self._prototypes.stop, self._prototypes.stop + len(head.weights))
        self.stop = self._weights.stop
        self._nearest_starts = _starts(head.prototype_owners, len(head.targets))
        self._views = tuple(_views(head))
        self._biases: Floats = head.biases
        self._scale = head.scale
        self._scope = head.scope
        self._outside = bool(head.targets) and head.targets[-1] == OUTSIDE
        self._names = head.targets[:-1] if self._outside else head.targets
        self._reasons = tuple(_reason(head.linear, count) for count in head.texts)

    def decide(self, product: npt.NDArray[Any]) -> StageResult:
        """Return the targets, surest first (ties by name), and the probability of belonging to any of them."""
        count = len(self._names)
        if not count:
            return StageResult(in_scope=0.0)
        nearest = centred = product[self._prototypes]
        if self._nearest_starts is not None:
            centred = centred[self._nearest_starts]
            nearest = np.maximum.reduceat(nearest, self._nearest_starts)
        closeness = (centred + nearest) * 0.5
        top, logits = self._logits(product) if self._linear else (0.0, closeness)
        shares, outside = self._shares(logits * self._scale)
        confidences = shares[:count]
        in_scope = self._in_scope(float(closeness[:count].max()), top, float(confidences.max())) * (1.0 - outside)
        return StageResult(self._candidates(confidences, nearest), in_scope)

    def _logits(self, product: npt.NDArray[Any]) -> tuple[float, npt.NDArray[Any]]:
        """Return the classifiers' mean of the largest logit, and of each target's log probability."""
        logits = product[self._weights] + self._biases
        top, found = 0.0, np.zeros(1, dtype=np.float32)
        for part, starts in self._views:
            one = logits[part]
            largest = float(one.max())
            if starts is None:
                one = one - (largest + math.log(float(np.exp(one - largest).sum())))
            else:
                shares = np.add.reduceat(np.exp(one - largest), starts)
                one = np.log(shares + SMALLEST) - math.log(float(shares.sum()))
            top += largest
            found = found + one
        return top / len(self._views), found / len(self._views)

    def _shares(self, logits: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], float]:
        """Return each target's probability given that one of them is right, and that of what is outside."""
        shares = np.exp(logits - logits.max())
        total = float(shares.sum())
        if not self._outside:
            return shares / total, 0.0
        outside = float(shares[-1])
        return shares / max(total - outside, SMALLEST), outside / total

    def _in_scope(self, closeness: float, logit: float, confidence: float) -> float:
        scope = self._scope
        value = scope.intercept + scope.closeness * closeness + scope.logit * logit + scope.confidence * confidence
        return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, value))))

    def _candidates(self, confidences: npt.NDArray[Any], nearest: npt.NDArray[Any]) -> tuple[Candidate, ...]:
        likely = np.flatnonzero(confidences >= LEAST_CONFIDENCE)
        if not MIN_CANDIDATES <= len(likely) <= MAX_CANDIDATES:
            wanted = min(len(confidences), MIN_CANDIDATES if len(likely) < MIN_CANDIDATES else MAX_CANDIDATES)
            likely = np.sort(np.argpartition(-confidences, wanted - 1)[:wanted])
        order = likely[np.argsort(-confidences[likely], kind="stable")]
        names, reasons = self._names, self._reasons
        return tuple(
            Candidate(names[index], min(1.0, confidence), reasons[index], max(0.0, min(1.0, similarity)))
            for index, confidence, similarity in zip(
                order.tolist(), confidences[order].tolist(), nearest[order].tolist(), strict=True
            )
        )


def _starts(owners: npt.NDArray[np.int32], count: int) -> Starts | None:
    """Return where each target's rows begin, None where every target has one row."""
    if len(owners) == count:
        return None
    return np.searchsorted(owners, np.arange(count)).astype(np.intp)


def _views(head: FamilyHead) -> Iterator[tuple[slice, Starts | None]]:
    """Yield the rows of each classifier, from its family's first weight on, and where each target's begin."""
    first = 0
    for count in head.views:
        rows = slice(first, first + count)
        yield rows, _starts(head.weight_owners[rows], len(head.targets))
        first += count


def _reason(linear: bool, texts: int) -> str:
    many = "text" if texts == 1 else "texts"
    return f"classifier trained on {texts} {many}" if linear else f"nearness to {texts} {many}"
