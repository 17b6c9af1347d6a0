"""Belonging anywhere at all: what tells a query that no target is made for from one that is."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from trunkline_policy.head_parts import Floats, Owners, Scope

STEEPNESS: Final = 15.0
DEFAULT_MIDDLE: Final = 0.2
"""Closeness that is as likely to be in as out, where the texts cannot tell: no target has two of them."""
MIDDLE_BOUNDS: Final = (0.15, 0.45)
MAX_ROWS: Final = 2_000
"""Texts that are compared with each other."""


def near_scope(vectors: Floats, owners: Owners) -> Scope:
    """Return the scope of prototypes, from how near each target's texts are to its others (leaving one out).

    Six tenths of the median closeness to the own target is where in and out are alike: narrow topics have texts near
    to each other and refuse sooner than broad ones. On CLINC150 `train` that takes in about 95 % of what belongs
    somewhere.
    """
    picked = np.arange(0, len(owners), max(1, -(-len(owners) // MAX_ROWS)))
    own = _own_closeness(vectors[picked], owners[picked])
    middle = 0.6 * float(np.median(own)) if len(own) else DEFAULT_MIDDLE
    middle = max(MIDDLE_BOUNDS[0], min(MIDDLE_BOUNDS[1], middle))
    return Scope(intercept=-STEEPNESS * middle, closeness=STEEPNESS, logit=0.0, confidence=0.0)


def _own_closeness(vectors: Floats, owners: Owners) -> npt.NDArray[Any]:
    """Return each text's closeness to the rest of its target, for targets of two texts and more."""
    found: list[npt.NDArray[Any]] = []
    for owner in np.unique(owners):
        rows = vectors[owners == owner]
        if len(rows) < 2:
            continue
        rest = rows.sum(axis=0) - rows
        lengths = np.linalg.norm(rest, axis=1)
        centred = (rest * rows).sum(axis=1) / np.where(lengths > 1e-12, lengths, 1.0)
        cosines = rows @ rows.T
        np.fill_diagonal(cosines, -1.0)
        found.append((centred + cosines.max(axis=1)) / 2)
    return np.concatenate(found) if found else np.zeros(0)
