"""Multinomial logistic regressions over topics: each target has one row, or several if it has many texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from trunkline_policy.calibration import grouped_shares
from trunkline_policy.clusters import topics
from trunkline_policy.head_parts import OUTSIDE, Floats, Owners
from trunkline_policy.prototypes import FamilyTexts

INVERSE_PENALTY: Final = 30.0
"""Of the squared weights; among 0.3..100 best, or within the noise of it, at 10 and at 150 targets."""
TEXTS_PER_TOPIC: Final = (60, 70, 80)
"""One classifier for each; those that would be the same are one. Chosen in three folds of CLINC150's domains, see
docs/adr/0026."""
MAX_TOPICS: Final = 24
"""Rows of one target in one classifier."""
MAX_ROWS: Final = 2_048
"""Rows of one family; with more, each target has one."""
OUTSIDE_TEXTS_PER_TOPIC: Final = 20
MOST_WEIGHT: Final = 4.0
"""A text of a rare target counts at most so many times as much as one of a usual target, and at least its inverse."""
MAX_ITERATIONS: Final = 400
TOLERANCE: Final = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """Fitted classifiers, one after another; a row's logit is `weights @ query + bias`."""

    weights: Floats
    biases: Floats
    owners: Owners
    """Index of each row's target, ascending within each classifier."""
    views: tuple[int, ...]
    """Rows of each classifier."""

    def judge(self, vectors: Floats) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Return each vector's mean of the largest logit, and of each target's log probability, as heads do."""
        logits = np.asarray(vectors @ self.weights.T + self.biases, dtype=np.float64)
        largest, found = [], []
        for start, end in pairwise(np.cumsum((0, *self.views))):
            one = logits[:, start:end]
            largest.append(one.max(axis=1))
            starts = np.flatnonzero(np.diff(self.owners[start:end], prepend=-1)).astype(np.intp)
            found.append(np.log(grouped_shares(one, starts) + 1e-30))
        return np.mean(largest, axis=0), np.mean(found, axis=0)


def fit_linear(texts: FamilyTexts) -> Linear:
    """Return the classifiers of a family of which all targets, at least two, have texts.

    A broad target is not one half-space, so its texts are first told apart by topic; its probability is the sum over
    its topics. How many topics there are nobody knows, so several classifiers decide together, by the mean of their
    log probabilities. All of them are still one matrix product.
    """
    centre = texts.vectors.mean(axis=0)
    sample_weights = _weights(texts)[texts.owners]
    parts = [
        (*_fit(texts, labels, centre, sample_weights), owners, len(owners)) for labels, owners in _all_topics(texts)
    ]
    weights, biases, owners, views = zip(*parts, strict=True)
    return Linear(np.concatenate(weights), np.concatenate(biases), np.concatenate(owners), tuple(views))


def _fit(
    texts: FamilyTexts, labels: npt.NDArray[np.int32], centre: Floats, sample_weights: npt.NDArray[Any]
) -> tuple[Floats, Floats]:
    model = LogisticRegression(C=INVERSE_PENALTY, tol=TOLERANCE, max_iter=MAX_ITERATIONS)
    model.fit(texts.vectors - centre, labels, sample_weight=sample_weights)
    weights = np.asarray(model.coef_, dtype=np.float32)
    biases = np.asarray(model.intercept_, dtype=np.float32)
    if len(weights) == 1:
        # Of two classes scikit-learn keeps the difference alone.
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    return weights, np.asarray(biases - weights @ centre, dtype=np.float32)


def _all_topics(texts: FamilyTexts) -> Iterator[tuple[npt.NDArray[np.int32], Owners]]:
    """Yield each text's row and each row's target, for each classifier."""
    seen: set[tuple[int, ...]] = set()
    for per_topic in TEXTS_PER_TOPIC:
        wanted = tuple(
            max(1, min(MAX_TOPICS, count // (OUTSIDE_TEXTS_PER_TOPIC if name == OUTSIDE else per_topic)))
            for name, count in zip(texts.targets, texts.counts, strict=True)
        )
        if sum(wanted) > MAX_ROWS:
            wanted = (1,) * len(texts.targets)
        if wanted not in seen:
            seen.add(wanted)
            yield _topics(texts, wanted)


def _topics(texts: FamilyTexts, wanted: Sequence[int]) -> tuple[npt.NDArray[np.int32], Owners]:
    labels = np.zeros(len(texts.owners), dtype=np.int32)
    owners: list[int] = []
    for target, count in enumerate(wanted):
        rows = texts.owners == target
        found = topics(texts.vectors[rows], count)
        labels[rows] = found + len(owners)
        owners += [target] * (int(found.max()) + 1)
    return labels, np.asarray(owners, dtype=np.int32)


def _weights(texts: FamilyTexts) -> npt.NDArray[Any]:
    """Return what a text of each target counts, so that targets with few texts are not drowned."""
    counts = np.maximum(1, np.asarray(texts.counts, dtype=float))
    return np.asarray(np.clip(np.median(counts) / counts, 1 / MOST_WEIGHT, MOST_WEIGHT))
