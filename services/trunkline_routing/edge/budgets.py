"""Stage budgets: each stage gets its share of what is left of the deadline."""

from __future__ import annotations

from dataclasses import dataclass

from trunkline_mesh.deadline import Deadline
from trunkline_routing.settings import RoutingSettings


@dataclass(frozen=True, slots=True)
class StageBudgets:
    """Default budgets at p99, in seconds; see `RoutingSettings`.

    A stage may take `left * own / (own + all later ones)`: with the defaults' sum as the deadline that is exactly its
    default; a longer deadline stretches every stage alike, a shorter one shrinks them, and what an early stage leaves
    over goes to the later ones.
    """

    embedding_s: float
    retrieval_s: float
    rerank_s: float
    reserve_s: float

    @classmethod
    def of(cls, settings: RoutingSettings) -> StageBudgets:
        """Take the budgets from the settings."""
        return cls(
            embedding_s=settings.embedding_budget_s,
            retrieval_s=settings.retrieval_budget_s,
            rerank_s=settings.rerank_budget_s,
            reserve_s=settings.hop_reserve_s,
        )

    def embedding(self, deadline: Deadline) -> Deadline:
        """Return by when the query must be embedded."""
        return self._share(deadline, self.embedding_s, self.retrieval_s + self.rerank_s)

    def retrieval(self, deadline: Deadline, *, rerank: bool) -> Deadline:
        """Return by when the collections should have answered; without a rerank to come, everything is theirs.

        They may take longer: reranking can be left out, and they cannot.
        """
        return self._share(deadline, self.retrieval_s, self.rerank_s if rerank else 0.0)

    def rerank(self, deadline: Deadline) -> Deadline:
        """Return by when the reranker must have answered."""
        return self.hop(deadline)

    def hop(self, deadline: Deadline) -> Deadline:
        """Return by when any hop must have answered, whatever its stage's budget says."""
        return Deadline(deadline.at_s - self.reserve_s)

    def _share(self, deadline: Deadline, own_s: float, later_s: float) -> Deadline:
        left_s = max(0.0, deadline.remaining_s() - self.reserve_s)
        return deadline.within(left_s * own_s / (own_s + later_s), reserve_s=self.reserve_s)
