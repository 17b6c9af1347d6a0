"""What a head consists of: rows of numbers for each family of targets, and how their products become probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.basis import Family

Floats = npt.NDArray[np.float32]
Owners = npt.NDArray[np.int32]

OUTSIDE: Final = ""
"""The name of what belongs nowhere, where a family has examples of it; always the last target."""


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """Probability of belonging anywhere: logistic in the largest closeness, the largest logit and the best share."""

    intercept: float
    closeness: float
    logit: float
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class FamilyHead:
    """The rows of one family. Several rows may belong to one target; rows of a target lie together, in target order."""

    family: Family
    targets: tuple[str, ...]
    """Ascending, and `OUTSIDE` last if it is there at all."""
    texts: tuple[int, ...]
    """How many texts stand for each target."""
    prototypes: Floats
    """Rows of length 1; each target's mean first, then what it is made of. A target's closeness to a query is the mean
    of its first row's cosine and of its largest."""
    prototype_owners: Owners
    """Index of each prototype's target."""
    weights: Floats
    """Rows of linear classifiers; none where prototypes decide."""
    biases: Floats
    weight_owners: Owners
    views: tuple[int, ...]
    """How many of the rows each classifier has, one after another. Every classifier knows every target."""
    scale: float
    """What closeness, or the classifiers' mean log probability, is multiplied by to become a logit."""
    scope: Scope

    @property
    def linear(self) -> bool:
        """Whether a trained classifier decides."""
        return len(self.weights) > 0

    def kept(self, names: Sequence[bool]) -> FamilyHead:
        """Return the head with those targets alone for which `names` says so."""
        keep = np.asarray(names, dtype=bool)
        renamed = np.cumsum(keep, dtype=np.int32) - 1
        rows, weights = keep[self.prototype_owners], keep[self.weight_owners]
        ends = np.cumsum((0, *self.views))
        return FamilyHead(
            family=self.family,
            targets=tuple(name for name, kept in zip(self.targets, keep, strict=True) if kept),
            texts=tuple(count for count, kept in zip(self.texts, keep, strict=True) if kept),
            prototypes=self.prototypes[rows],
            prototype_owners=renamed[self.prototype_owners[rows]].astype(np.int32),
            weights=self.weights[weights],
            biases=self.biases[weights],
            weight_owners=renamed[self.weight_owners[weights]].astype(np.int32),
            views=tuple(int(weights[start:end].sum()) for start, end in pairwise(ends)),
            scale=self.scale,
            scope=self.scope,
        )
