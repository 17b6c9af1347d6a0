"""How much a term tells of a target: by how many standard deviations it is more frequent there, and how surely."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

PRIOR_TERMS: Final = 500.0
"""Weight of the prior, in terms: about what a short document has."""


def z_score(here: int, terms_here: int, there: int, terms_there: int) -> float:
    """Return a term's log-odds ratio between a target and all others, in standard deviations.

    With the informative Dirichlet prior of Monroe, Colaresi and Quinn, "Fightin' Words: Lexical Feature Selection and
    Evaluation for Identifying the Content of Political Conflict", Political Analysis 16:4 (2008), equations 15 to 22:
    the prior has the term as often as all targets together have it. Infinite where there is no other target.
    """
    if terms_there == 0:
        return math.inf
    prior = PRIOR_TERMS * (here + there) / (terms_here + terms_there)
    odds_here = (here + prior) / (terms_here + PRIOR_TERMS - here - prior)
    odds_there = (there + prior) / (terms_there + PRIOR_TERMS - there - prior)
    return (math.log(odds_here) - math.log(odds_there)) / math.sqrt(1 / (here + prior) + 1 / (there + prior))


def precision_of(target: str, counts: Mapping[str, int], sizes: Mapping[str, int]) -> float:
    """Return the share of what has a term that is the target's, if all targets had as much.

    One made-up occurrence in any target is added, so that few occurrences never look certain.
    """
    here = counts[target]
    elsewhere = sum(count / sizes[other] for other, count in counts.items() if other != target) * sizes[target]
    return (here + 1 / len(sizes)) / (here + elsewhere + 1)
