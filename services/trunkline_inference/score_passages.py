"""Use case: score passages against a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from trunkline_inference.models import ModelRegistry
from trunkline_inference.ports import ModelServer
from trunkline_mesh.deadline import Deadline


class Scored(NamedTuple):
    """Scores in the passages' order, and what scored them."""

    scores: Sequence[float]
    model: str
    """`model@revision`."""


class ScorePassages:
    """Finds the model and asks the server. Nothing is cached here: the model keeps passages' vectors itself."""

    def __init__(self, registry: ModelRegistry, server: ModelServer) -> None:
        """Compose from the ports."""
        self._registry = registry
        self._server = server

    async def __call__(
        self, model_id: str, query: str, passages: Sequence[str], *, tenant_id: str, deadline: Deadline
    ) -> Scored:
        """Score every passage; an empty `model_id` is the default model.

        Raises ModelUnknown, and what `ModelServer.score` raises.
        """
        model = self._registry.scorer(model_id)
        scores = await self._server.score(model, query, passages, tenant_id=tenant_id, deadline=deadline)
        return Scored(scores, model.label)
