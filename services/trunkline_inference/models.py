"""The models that are served here, and what a text is for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from trunkline_mesh.errors import ModelUnknown


class Task(Enum):
    """What a model does."""

    EMBED = "embed"
    SCORE = "score"


class InputKind(Enum):
    """What a text is for; part of its cache key."""

    QUERY = "q"
    """Somebody waits for it."""
    PASSAGE = "p"
    """It is being written."""


@dataclass(frozen=True, slots=True)
class ServedModel:
    """One model, under the name that the map gives it and the one it has in the model server."""

    model_id: str
    revision: str
    task: Task
    dimension: int
    """Numbers in a vector; 0 for scores."""
    backend_name: str
    """Its name in the model server."""

    @property
    def label(self) -> str:
        """Return `model@revision`."""
        return f"{self.model_id}@{self.revision}"


class ModelRegistry:
    """The served models by id. Immutable."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        """Serve `models`; of those that score, the first is the default."""
        self._models = tuple(sorted(models, key=lambda model: (model.model_id, model.revision)))
        self._embedders = {(model.model_id, model.revision): model for model in models if model.task is Task.EMBED}
        self._scorers: dict[str, ServedModel] = {}
        for model in models:
            if model.task is Task.SCORE:
                self._scorers.setdefault(model.model_id, model)
                self._scorers.setdefault("", model)

    def embedder(self, model_id: str, revision: str) -> ServedModel:
        """Return the model of an embedding space; raise ModelUnknown if exactly that one is not served."""
        model = self._embedders.get((model_id, revision))
        if model is None:
            raise ModelUnknown
        return model

    def scorer(self, model_id: str) -> ServedModel:
        """Return a scoring model, the default for an empty id; raise ModelUnknown."""
        model = self._scorers.get(model_id)
        if model is None:
            raise ModelUnknown
        return model

    def all(self) -> Sequence[ServedModel]:
        """Return every model, by id."""
        return self._models
