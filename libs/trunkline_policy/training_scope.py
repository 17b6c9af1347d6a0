"""Fits what tells queries that belong nowhere, on targets that the classifier was not shown."""

from __future__ import annotations

from typing import Final

import numpy as np
from sklearn.linear_model import LogisticRegression

from trunkline_policy.head_parts import OUTSIDE, Scope
from trunkline_policy.prototypes import FamilyTexts
from trunkline_policy.scope import near_scope
from trunkline_policy.training_folds import Judged

SHARE_OUTSIDE: Final = 0.2
"""How many queries are taken to belong nowhere. Targets left out are nearer to the others than most strange queries
are, so that this errs on the side of taking queries in."""
LEAST_OUTSIDE: Final = 20
"""Texts of targets left out that are needed to fit anything."""


def fit_scope(judged: Judged, texts: FamilyTexts) -> Scope:
    """Return the logistic function of the three features that tells known targets best from unknown ones.

    Where too few targets could be left out it is that of prototypes.
    """
    outside = int((~judged.known).sum())
    if outside < LEAST_OUTSIDE or not judged.known.any():
        inside = texts.owners < len(texts.targets) - (texts.targets[-1] == OUTSIDE)
        return near_scope(texts.vectors[inside], texts.owners[inside])
    middle, spread = judged.features.mean(axis=0), np.maximum(judged.features.std(axis=0), 1e-6)
    inside_count = len(judged.known) - outside
    weights = np.where(judged.known, (1 - SHARE_OUTSIDE) / inside_count, SHARE_OUTSIDE / outside) * len(judged.known)
    model = LogisticRegression(C=1.0, max_iter=500)
    model.fit((judged.features - middle) / spread, judged.known, sample_weight=weights)
    slopes = model.coef_[0] / spread
    closeness, logit, confidence = (float(value) for value in slopes)
    return Scope(float(model.intercept_[0] - slopes @ middle), closeness, logit, confidence)
