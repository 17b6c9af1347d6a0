"""What a classifier makes of texts that it was not trained on, some of which belong to targets it does not know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.calibration import temperature_factor
from trunkline_policy.clusters import topics, unit
from trunkline_policy.head_parts import OUTSIDE, Floats
from trunkline_policy.prototypes import FamilyTexts, prototype_rows
from trunkline_policy.training_linear import fit_linear

FOLDS: Final = 4
"""Each holds back a quarter of the texts of all targets, and all texts of a quarter of the targets."""


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """How held-back texts look to a classifier: evidence for its temperature and for its scope."""

    factor: float
    """What mean log probabilities are multiplied by so that confidences are probabilities."""
    features: npt.NDArray[Any]
    """Closeness, largest logit and confidence of each text."""
    known: npt.NDArray[np.bool_]
    """Whether the text's target was among those trained."""


@dataclass(frozen=True, slots=True, eq=False)
class _Fold:
    top: npt.NDArray[Any]
    """The classifiers' mean of the largest logit."""
    logits: npt.NDArray[Any]
    """Their mean log probability of each target."""
    closeness: npt.NDArray[Any]
    right: npt.NDArray[np.intp]
    """Place of the text's target among those of the fold; -1 if it is not there."""
    inside: int
    """Targets of the fold that are not `OUTSIDE`."""


def held_back(texts: FamilyTexts, seed: int) -> Judged:
    """Return how the held-back texts of all folds look; without features if too few targets can be held back."""
    generator = np.random.default_rng(seed)
    row_folds = _row_folds(texts, generator)
    folds = [
        fold
        for number, left_out in enumerate(_left_out(texts, generator))
        if (fold := _fold(texts, row_folds == number, left_out)) is not None
    ]
    factor = float(np.median([_factor(fold) for fold in folds])) if folds else 1.0
    features = [_features(fold, factor) for fold in folds]
    return Judged(
        factor,
        np.concatenate(features) if features else np.zeros((0, 3)),
        np.concatenate([(fold.right >= 0) & (fold.right < fold.inside) for fold in folds])
        if folds
        else np.zeros(0, dtype=bool),
    )


def _row_folds(texts: FamilyTexts, generator: np.random.Generator) -> npt.NDArray[np.intp]:
    """Deal each target's texts over the folds."""
    folds = np.zeros(len(texts.owners), dtype=np.intp)
    for target in range(len(texts.targets)):
        rows = generator.permutation(np.flatnonzero(texts.owners == target))
        folds[rows] = (np.arange(len(rows)) + target) % FOLDS
    return folds


def _left_out(texts: FamilyTexts, generator: np.random.Generator) -> list[set[int]]:
    """Return the targets that each fold does not know: by chance in one half of the folds, neighbours in the other.

    Strange queries are sometimes near to a target that is known and sometimes far from all; texts of single targets
    stand for the first, those of whole groups of like targets for the second.
    """
    inside = len(texts.targets) - (texts.targets[-1] == OUTSIDE)
    if inside <= 2:
        return [set() for _ in range(FOLDS)]
    shuffled = generator.permutation(inside)
    means = np.zeros((inside, texts.vectors.shape[1]), dtype=np.float32)
    rows = texts.owners < inside
    np.add.at(means, texts.owners[rows], texts.vectors[rows])
    alike = np.argsort(topics(unit(means), max(2, round(inside**0.5))), kind="stable")
    each = max(1, inside // FOLDS)
    return [
        {int(target) for target in (shuffled if number % 2 else alike)[number * each : (number + 1) * each]}
        for number in range(FOLDS)
    ]


def _fold(texts: FamilyTexts, held: npt.NDArray[np.bool_], left_out: set[int]) -> _Fold | None:
    """Train without the held-back texts and the targets left out; None if too little is left."""
    known = ~np.isin(texts.owners, list(left_out))
    shown = _part(texts, known & ~held)
    if len(shown.targets) < 2 or shown.targets[0] == OUTSIDE or not held.any():
        return None
    linear = fit_linear(shown)
    # A target all of whose texts are held back is as unknown as one that was left out.
    names = {name: number for number, name in enumerate(shown.targets)}
    right = np.asarray([names.get(texts.targets[owner], -1) for owner in texts.owners[held]], dtype=np.intp)
    inside = len(shown.targets) - (shown.targets[-1] == OUTSIDE)
    vectors = texts.vectors[held]
    top, logits = linear.judge(vectors)
    return _Fold(top, logits, _closeness(shown, vectors, inside), right, inside)


def _part(texts: FamilyTexts, rows: npt.NDArray[np.bool_]) -> FamilyTexts:
    present, owners = np.unique(texts.owners[rows], return_inverse=True)
    names = tuple(texts.targets[number] for number in present)
    return FamilyTexts(texts.family, names, texts.vectors[rows], owners.astype(np.int32))


def _closeness(shown: FamilyTexts, vectors: Floats, inside: int) -> npt.NDArray[Any]:
    """Return each text's closeness to the nearest of the targets that are not `OUTSIDE`."""
    prototypes, owners = prototype_rows(shown)
    cosines = vectors @ prototypes.T
    starts = np.searchsorted(owners, np.arange(len(shown.targets)))
    closeness = (cosines[:, starts] + np.maximum.reduceat(cosines, starts, axis=1)) / 2
    return np.asarray(closeness[:, :inside].max(axis=1))


def _factor(fold: _Fold) -> float:
    known = fold.right >= 0
    return temperature_factor(fold.logits[known], fold.right[known])


def _features(fold: _Fold, factor: float) -> npt.NDArray[Any]:
    logits = fold.logits * factor
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))[:, : fold.inside]
    confidence = shares.max(axis=1) / np.maximum(shares.sum(axis=1), 1e-30)
    return np.column_stack([fold.closeness, fold.top, confidence])
