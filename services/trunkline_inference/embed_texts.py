"""Use case: turn texts into vectors, from the nearest place that has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from trunkline_inference.local_vectors import LocalVectors
from trunkline_inference.models import InputKind, ModelRegistry, ServedModel
from trunkline_inference.ports import FLOAT_BYTES, ModelServer, SharedVectors, VectorKey
from trunkline_inference.single_flight import SingleFlight
from trunkline_mesh import metrics
from trunkline_mesh.deadline import Deadline

_VECTORS: Final = metrics.counter("inference_vectors", "Vectors by where they came from.", ("source",))
_LOCAL: Final = _VECTORS.labels("local")
_SHARED: Final = _VECTORS.labels("shared")
_COMPUTED: Final = _VECTORS.labels("model")


class Texts(NamedTuple):
    """Texts of one request, checked against the contract's bounds."""

    model_id: str
    model_revision: str
    texts: Sequence[str]
    kind: InputKind


class Vector(NamedTuple):
    """A vector as little-endian float32 bytes, and whether a cache had it."""

    data: bytes
    cached: bool


class EmbedTexts:
    """Local cache, shared cache, model server, in that order; equal texts that are under way are computed once."""

    def __init__(
        self, registry: ModelRegistry, server: ModelServer, *, local: LocalVectors, shared: SharedVectors
    ) -> None:
        """Compose from the ports."""
        self._registry = registry
        self._server = server
        self._local = local
        self._shared = shared
        self._flights: SingleFlight[VectorKey, Vector] = SingleFlight()

    async def __call__(self, request: Texts, *, tenant_id: str, deadline: Deadline) -> Sequence[Vector]:
        """Return one vector for each text, in order.

        Raises ModelUnknown, and what `ModelServer.embed` raises. A shared cache that fails is passed over.
        """
        model = self._registry.embedder(request.model_id, request.model_revision)
        keys = [_key(tenant_id, model, request.kind, text) for text in request.texts]
        found = {key: Vector(data, cached=True) for key in keys if (data := self._local.get(key)) is not None}
        _LOCAL.inc(len(found))
        missing = {key: text for key, text in zip(keys, request.texts, strict=True) if key not in found}
        if missing:
            found |= await self._flights.get(
                list(missing),
                lambda wanted: self._fetch(model, {key: missing[key] for key in wanted}, tenant_id, deadline),
            )
        return [found[key] for key in keys]

    async def aclose(self) -> None:
        """Cancel what is under way."""
        await self._flights.aclose()

    async def _fetch(
        self, model: ServedModel, texts: Mapping[VectorKey, str], tenant_id: str, deadline: Deadline
    ) -> Mapping[VectorKey, Vector]:
        """Ask the shared cache, then the model for the rest; leave what was found in the caches before."""
        keys = list(texts)
        stored = await self._shared.get_many(keys)
        found = {
            key: Vector(data, cached=True)
            for key, data in zip(keys, stored, strict=True)
            if data is not None and _is_vector(data, model.dimension)
        }
        _SHARED.inc(len(found))
        missing = [key for key in keys if key not in found]
        if missing:
            kind = missing[0].kind
            computed = await self._server.embed(
                model, [texts[key] for key in missing], kind, tenant_id=tenant_id, deadline=deadline
            )
            fresh = dict(zip(missing, computed, strict=True))
            found |= {key: Vector(data, cached=False) for key, data in fresh.items()}
            _COMPUTED.inc(len(fresh))
            await self._shared.put_many(fresh)
        for key, vector in found.items():
            self._local.put(key, vector.data)
        return found


def _key(tenant_id: str, model: ServedModel, kind: InputKind, text: str) -> VectorKey:
    return VectorKey(tenant_id, model.model_id, model.revision, kind, hashlib.sha256(text.encode()).digest())


def _is_vector(data: bytes, dimension: int) -> bool:
    """What a cache holds is checked like anything from outside: the right size, and finite."""
    return len(data) == dimension * FLOAT_BYTES and bool(np.isfinite(np.frombuffer(data, "<f4")).all())
