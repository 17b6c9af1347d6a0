"""Adapter: embeddings of the learner's texts by the inference service of its own region, giving way to searches."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import numpy as np

from trunkline.inference.v1 import inference_service_pb2 as inference_pb
from trunkline.inference.v1 import inference_service_pb2_grpc as inference_grpc
from trunkline_map.entries import SpaceEntry
from trunkline_map.source import MapSource
from trunkline_mesh.calls import call
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Internal, MapNotReady
from trunkline_mesh.trailers import PeerState
from trunkline_routing.edge.targets import Stubs
from trunkline_routing.learner.credentials import ActingCredentials
from trunkline_routing.learner.ports import Matrix

BATCH: Final = 16
"""Texts in one call: a query that comes meanwhile waits for a few short texts at most."""
CALL_S: Final = 20.0
MAX_PAUSE_S: Final = 2.0
"""Longest wait for traffic before one batch; then the learner goes on, slowly."""
PAUSE_STEP_S: Final = 0.25
MAX_VECTORS: Final = 20_000
"""Vectors kept: 31 MB with 384 numbers. Policies that follow each other share nearly all of their texts."""


class RegionEmbedder:
    """Implements `ports.Embedder`."""

    def __init__(
        self,
        channels: ChannelPool,
        source: MapSource,
        credentials: ActingCredentials,
        *,
        region_id: str,
        yield_pressure: float,
    ) -> None:
        """Embed in `region_id`; pause while its inference tells a pressure above `yield_pressure`."""
        self._stubs = Stubs(channels, inference_grpc.InferenceServiceStub)
        self._source = source
        self._credentials = credentials
        self._region_id = region_id
        self._yield_pressure = yield_pressure
        self._pressure = 0.0
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    async def embed(self, tenant_id: str, space: SpaceEntry, texts: Sequence[str], deadline: Deadline) -> Matrix:
        """As `ports.Embedder.embed`."""
        keys = [_key(space, text) for text in texts]
        rows = {key: self._known[key] for key in keys if key in self._known}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in rows}
        wanted = list(missing)
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            await self._give_way(deadline)
            embedded = await self._ask(tenant_id, space, [missing[key] for key in batch], deadline)
            rows.update(zip(batch, embedded, strict=True))
        self._remember(rows)
        if not keys:
            return np.zeros((0, space.dimension), dtype=np.float32)
        return np.frombuffer(b"".join(rows[key] for key in keys), dtype=np.float32).reshape(len(keys), space.dimension)

    async def _ask(self, tenant_id: str, space: SpaceEntry, texts: Sequence[str], deadline: Deadline) -> list[bytes]:
        region = self._source.snapshot.region(self._region_id)
        if region is None:
            raise MapNotReady("this learner's region is not in the map", retry_delay_s=1.0)
        request = inference_pb.EmbedRequest(
            model_id=space.model_id,
            model_revision=space.model_revision,
            texts=texts,
            input_kind=inference_pb.INPUT_KIND_QUERY,
        )
        response = await call(
            self._stubs.of(region.inference_endpoints).Embed,
            request,
            deadline=deadline.within(CALL_S),
            metadata=self._credentials.of(tenant_id),
            listener=self._heard,
        )
        vectors = [np.asarray(embedding.values, dtype=np.float32) for embedding in response.embeddings]
        if len(vectors) != len(texts) or any(vector.shape != (space.dimension,) for vector in vectors):
            raise Internal("the model's vectors are not those of the embedding space")
        return [vector.tobytes() for vector in vectors]

    def _heard(self, state: PeerState) -> None:
        if state.pressure is not None:
            self._pressure = state.pressure

    async def _give_way(self, deadline: Deadline) -> None:
        """Wait while the region is busy. Its pressure is only told with answers, so it is taken to ease with time."""
        limit = deadline.within(MAX_PAUSE_S)
        while self._pressure > self._yield_pressure and not limit.expired():
            await asyncio.sleep(min(PAUSE_STEP_S, limit.remaining_s()))
            self._pressure *= 0.9

    def _remember(self, rows: dict[bytes, bytes]) -> None:
        for key, row in rows.items():
            self._known[key] = row
            self._known.move_to_end(key)
        while len(self._known) > MAX_VECTORS:
            self._known.popitem(last=False)


def _key(space: SpaceEntry, text: str) -> bytes:
    model = f"{space.space_id}\n{space.model_id}\n{space.model_revision}\n"
    return hashlib.blake2b(f"{model}{text}".encode(), digest_size=16).digest()
