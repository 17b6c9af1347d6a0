"""Joining ranked lists, and making the order of equal scores the same everywhere.

Reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): a document's score is the sum of 1 / (k + r) over
the lists that hold it, r its rank in each from 1. Here k = 60, as in that paper. Stores compute it themselves in one
call; `reciprocal_rank_fusion` is the definition that the contract tests hold them to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

RRF_K: Final = 60
"""The paper's constant."""

QDRANT_RRF_K: Final = RRF_K + 1
"""What Qdrant is given for it: Qdrant counts ranks from 0 (and would use k = 2 on its own)."""

MIN_CANDIDATES: Final = 40
"""Fewest candidates that each list contributes, so that a short answer is still joined from long lists."""

TIE_SLACK: Final = 16
"""Hits asked for beyond the limit, so that a tie across the limit is decided by document id and not by chance."""


def candidates_per_list(limit: int) -> int:
    """Return how many candidates the dense and the keyword list each contribute to an answer of `limit` hits."""
    return max(MIN_CANDIDATES, 2 * limit)


def reciprocal_rank_fusion(lists: Iterable[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Return each id's fused score. An id counts once in each list, at its best rank."""
    scores: dict[str, float] = {}
    for ranked in lists:
        for rank, item in enumerate(dict.fromkeys(ranked), start=1):
            scores[item] = scores.get(item, 0.0) + 1.0 / (k + rank)
    return scores


def tie_crosses_end(scores: Sequence[float], limit: int, asked: int) -> bool:
    """Return True if hits that were not asked for may tie with the last one that is wanted.

    `scores` are of the hits that came, best first, at most `asked` of them.
    """
    return len(scores) == asked > limit and scores[limit - 1] == scores[-1]
