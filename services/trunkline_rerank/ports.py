"""What reranking needs of the outside: something that scores passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trunkline_mesh.deadline import Deadline


class Scores(NamedTuple):
    """Scores of passages in their order; higher is better."""

    values: Sequence[float]
    model: str
    """`model@version`."""


class PassageScorer(Protocol):
    """Scores passages against a query. Scores of one query and model compare across calls."""

    async def score(self, query: str, passages: Sequence[str], *, model_id: str, deadline: Deadline) -> Scores:
        """Return one finite score for each passage; an empty `model_id` is the default model.

        Raises a domain error: BackendTimeout or DeadlineExceeded if the passages do not fit into `deadline`.
        """
