"""What the use cases need of the outside: a model server, and a cache of vectors that replicas share.

A vector travels as its little-endian float32 bytes: that is what caches store and what the wire carries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from trunkline_inference.models import InputKind, ServedModel
from trunkline_mesh.deadline import Deadline

FLOAT_BYTES = 4


class VectorKey(NamedTuple):
    """What a text's vector depends on, and whose text it is: no tenant can probe another one's texts."""

    tenant_id: str
    model_id: str
    revision: str
    kind: InputKind
    digest: bytes
    """SHA-256 of the text's UTF-8."""


class ModelServer(Protocol):
    """Runs models."""

    async def embed(
        self, model: ServedModel, texts: Sequence[str], kind: InputKind, *, tenant_id: str, deadline: Deadline
    ) -> Sequence[bytes]:
        """Return one vector of length 1 for each text, in order.

        Raises BackendUnavailable, BackendTimeout, DeadlineExceeded, Overloaded, ModelNotReady, CircuitOpen, or
        Internal if the model's answer is malformed.
        """

    async def score(
        self, model: ServedModel, query: str, passages: Sequence[str], *, tenant_id: str, deadline: Deadline
    ) -> Sequence[float]:
        """Return one finite score for each passage, in order. Raises as `embed` does."""

    def ready(self, model: ServedModel) -> bool:
        """Return True if the model answered its last probe. Does no I/O."""


class SharedVectors(Protocol):
    """Vectors that all replicas of the region share. Its loss costs time, never an answer: nothing here raises."""

    async def get_many(self, keys: Sequence[VectorKey]) -> Sequence[bytes | None]:
        """Return what is stored under each key, in order; None where nothing is, or nothing can be had."""

    async def put_many(self, vectors: Mapping[VectorKey, bytes]) -> None:
        """Store vectors, as far as that works."""

    def available(self) -> bool:
        """Return False while it is being rested after failures."""
