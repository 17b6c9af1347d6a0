"""A model server and a shared cache in memory, which keep account of what they were asked."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from trunkline_inference.models import InputKind, ModelRegistry, ServedModel, Task
from trunkline_inference.ports import VectorKey
from trunkline_mesh.deadline import Deadline

EMBEDDER = ServedModel("embedder", "1", Task.EMBED, 4, "embedder")
SCORER = ServedModel("scorer", "1", Task.SCORE, 0, "scorer")
REGISTRY = ModelRegistry([EMBEDDER, SCORER])


def vector_of(text: str) -> bytes:
    """Return a vector that depends on the text alone."""
    numbers = np.frombuffer(hashlib.sha256(text.encode()).digest()[:4], np.uint8).astype("<f4") + 1
    return (numbers / np.linalg.norm(numbers)).astype("<f4").tobytes()


class MemoryModels:
    """`ModelServer` that answers once its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[list[str]] = []
        self.cancelled = 0
        self.failure: Exception | None = None

    async def embed(
        self, model: ServedModel, texts: Sequence[str], kind: InputKind, *, tenant_id: str, deadline: Deadline
    ) -> Sequence[bytes]:
        self.asked.append(list(texts))
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.failure is not None:
            raise self.failure
        return [vector_of(text) for text in texts]

    async def score(
        self, model: ServedModel, query: str, passages: Sequence[str], *, tenant_id: str, deadline: Deadline
    ) -> Sequence[float]:
        return [float(len(passage)) for passage in passages]

    def ready(self, model: ServedModel) -> bool:
        return True


class MemoryVectors:
    """`SharedVectors` in a dictionary."""

    def __init__(self) -> None:
        self.stored: dict[VectorKey, bytes] = {}

    def available(self) -> bool:
        return True

    async def get_many(self, keys: Sequence[VectorKey]) -> Sequence[bytes | None]:
        return [self.stored.get(key) for key in keys]

    async def put_many(self, vectors: Mapping[VectorKey, bytes]) -> None:
        self.stored |= vectors
