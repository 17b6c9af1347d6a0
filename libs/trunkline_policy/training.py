"""Trained heads: a linear classifier where there are examples enough, prototypes where there are not.

Needs scikit-learn (extra `learning`); only the learner and tools import this. docs/adr/0026 has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # it ships no types

from trunkline_policy.basis import BasisText
from trunkline_policy.head import HeadSet
from trunkline_policy.head_format import halved
from trunkline_policy.head_parts import OUTSIDE, FamilyHead
from trunkline_policy.prototypes import (
    FamilyTexts,
    checked_vectors,
    family_texts,
    head_set,
    prototype_family,
    prototype_rows,
)
from trunkline_policy.training_folds import held_back
from trunkline_policy.training_linear import fit_linear
from trunkline_policy.training_scope import fit_scope

ENOUGH_TEXTS: Final = 10
"""A family gets a classifier if at least half of its targets have so many texts each, and two have any."""


def train_heads(
    texts: Sequence[BasisText],
    vectors: Sequence[Sequence[float]] | npt.NDArray[Any],
    *,
    space_id: str,
    model_id: str,
    model_revision: str,
    seed: int = 0,
) -> HeadSet:
    """Return the best head that the texts allow. CPU-bound: seconds for 10,000 texts, minutes for 20,000 of 1,000.

    The same texts, vectors and seed give the same bytes on the same machine; texts that are unusable are left out as
    in `prototype_heads`. Raises ValueError for another number of vectors, or vectors of unequal length.
    """
    matrix = checked_vectors(texts, vectors)
    # Sums over several threads are added in an order that changes from run to run.
    with threadpool_limits(limits=1):
        families = tuple(
            _trained(part, seed) if enough(part) else prototype_family(part) for part in family_texts(texts, matrix)
        )
    return head_set(families, texts, matrix, space_id=space_id, model_id=model_id, model_revision=model_revision)


def enough(texts: FamilyTexts) -> bool:
    """Return whether a classifier can be trained: see `ENOUGH_TEXTS`."""
    inside = texts.counts[: len(texts.targets) - (texts.targets[-1] == OUTSIDE)]
    return len(inside) > 1 and sum(count >= ENOUGH_TEXTS for count in inside) * 2 >= len(inside)


def _trained(texts: FamilyTexts, seed: int) -> FamilyHead:
    """Fit the classifier; its temperature and scope are fitted on texts and targets that it was not shown."""
    judged = held_back(texts, seed)
    linear = fit_linear(texts)
    prototypes, owners = prototype_rows(texts)
    return FamilyHead(
        family=texts.family,
        targets=texts.targets,
        texts=texts.counts,
        prototypes=prototypes,
        prototype_owners=owners,
        weights=halved(linear.weights),
        biases=linear.biases,
        weight_owners=linear.owners,
        views=linear.views,
        scale=judged.factor,
        scope=fit_scope(judged, texts),
    )
