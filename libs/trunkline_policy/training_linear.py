"""A multinomial logistic regression over topics: each target has one row, or several if it has many texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from trunkline_policy.clusters import topics
from trunkline_policy.head_parts import OUTSIDE, Floats, Owners
from trunkline_policy.prototypes import FamilyTexts

INVERSE_PENALTY: Final = 30.0
"""Of the squared weights; among 0.3..100 best, or within the noise of it, at 10 and at 150 targets."""
TEXTS_PER_TOPIC: Final = 60
MAX_TOPICS: Final = 24
"""Rows of one target."""
MAX_ROWS: Final = 2_048
"""Rows of one family; with more, each target has one."""
OUTSIDE_TEXTS_PER_TOPIC: Final = 20
MOST_WEIGHT: Final = 4.0
"""A text of a rare target counts at most so many times as much as one of a usual target, and at least its inverse."""
MAX_ITERATIONS: Final = 400
TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """A fitted classifier; a row's logit is `weights @ query + bias`."""

    weights: Floats
    biases: Floats
    owners: Owners
    """Index of each row's target, ascending."""

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """Where each target's rows begin; targets without rows have none."""
        return np.flatnonzero(np.diff(self.owners, prepend=-1)).astype(np.intp)

    def logits(self, vectors: Floats) -> npt.NDArray[Any]:
        """Return a row of logits for each vector."""
        return np.asarray(vectors @ self.weights.T + self.biases)


def fit_linear(texts: FamilyTexts) -> Linear:
    """Return the classifier of a family with at least two targets that have texts.

    A broad target is not one half-space, so its texts are first told apart by topic; its probability is the sum over
    its topics. That is still one matrix product.
    """
    labels, owners = _topics(texts)
    centre = texts.vectors.mean(axis=0)
    model = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    model.fit(texts.vectors - centre, labels, sample_weight=_weights(texts)[texts.owners])
    weights = np.asarray(model.coef_, dtype=np.float32)
    biases = np.asarray(model.intercept_, dtype=np.float32)
    if len(weights) == 1:
        # Of two classes scikit-learn keeps the difference alone.
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    return Linear(weights, np.asarray(biases - weights @ centre, dtype=np.float32), owners)


def _topics(texts: FamilyTexts) -> tuple[npt.NDArray[np.int32], Owners]:
    """Return each text's row, and each row's target."""
    labels = np.zeros(len(texts.owners), dtype=np.int32)
    owners: list[int] = []
    wanted = [_wanted(name == OUTSIDE, count) for name, count in zip(texts.targets, texts.counts, strict=True)]
    if sum(wanted) > MAX_ROWS:
        wanted = [min(1, count) for count in wanted]
    for target, count in enumerate(wanted):
        if not count:
            continue
        rows = texts.owners == target
        found = topics(texts.vectors[rows], count)
        labels[rows] = found + len(owners)
        owners += [target] * (int(found.max()) + 1)
    return labels, np.asarray(owners, dtype=np.int32)


def _wanted(outside: bool, texts: int) -> int:
    if not texts:
        return 0
    return max(1, min(MAX_TOPICS, texts // (OUTSIDE_TEXTS_PER_TOPIC if outside else TEXTS_PER_TOPIC)))


def _weights(texts: FamilyTexts) -> npt.NDArray[Any]:
    """Return what a text of each target counts, so that targets with few texts are not drowned."""
    counts = np.maximum(1, np.asarray(texts.counts, dtype=float))
    return np.clip(np.median(counts) / counts, 1 / MOST_WEIGHT, MOST_WEIGHT)
