"""Opens vector stores: the region's default one as the settings say, others by the endpoints that the map names."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Final

from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import STORE_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.errors import BackendUnavailable, CollectionNotPlaced
from trunkline_retrieval.embedded_store import EmbeddedBounds, EmbeddedStore
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.guarded_store import GuardedStore
from trunkline_retrieval.settings import RetrievalSettings, StoreKind
from trunkline_retrieval.store import VectorStore

ENGINE_PREFIX: Final = "engine:"
STORES_FOLDER: Final = "stores"
"""Folder inside the data directory with one for each embedded engine besides the default one."""

_ENGINE_NAME: Final = re.compile(r"[a-z0-9-]{1,63}")
_ADDRESS: Final = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:]{2,45}\]):([0-9]{1,5})")
_MAX_KEYS_BYTES: Final = 64 << 10


class StoreOpener:
    """Opens stores for one process. What their breakers learned outlives a connection that made room for another."""

    def __init__(self, settings: RetrievalSettings) -> None:
        """Open as the settings say."""
        self._settings = settings
        self._breakers = BreakerRegistry()

    async def default(self) -> VectorStore:
        """Open the region's default store."""
        settings = self._settings
        if settings.store is StoreKind.EMBEDDED:
            return await self._embedded(settings.data_dir)
        # Imported here: the client library is large, and most installations of the embedded engine never use it.
        from trunkline_retrieval.qdrant_store import QdrantStore

        store = await QdrantStore.open(
            settings.qdrant_url,
            grpc_port=settings.qdrant_grpc_port,
            api_key=settings.qdrant_api_key.get_secret_value() or None,
            max_requests=settings.qdrant_max_requests,
        )
        return self._guarded(store, settings.region)

    async def at(self, endpoint: str) -> VectorStore:
        """Open the store at `host:port` (Qdrant's gRPC) or `engine:NAME` (an embedded engine of its own).

        Raises CollectionNotPlaced for an endpoint that is neither, or for an engine where the settings allow none, and
        BackendUnavailable if the file of API keys cannot be read.
        """
        if endpoint.startswith(ENGINE_PREFIX):
            return await self._engine(endpoint.removeprefix(ENGINE_PREFIX))
        address = _ADDRESS.fullmatch(endpoint)
        if address is None:
            raise CollectionNotPlaced("the collection's store has no address that can be used")
        from trunkline_retrieval.qdrant_store import QdrantStore  # as above

        keys = await asyncio.to_thread(_keys, self._settings.store_keys_path)
        store = QdrantStore.at(
            address[1],
            int(address[2]),
            api_key=keys.get(endpoint),
            tls=self._settings.stores_tls,
            max_requests=self._settings.qdrant_max_requests,
        )
        return self._guarded(store, endpoint)

    async def _engine(self, name: str) -> VectorStore:
        if not self._settings.embedded_stores or _ENGINE_NAME.fullmatch(name) is None:
            raise CollectionNotPlaced("the collection's store is an embedded engine, which this process may not open")
        return await self._embedded(self._settings.data_dir / STORES_FOLDER / name)

    async def _embedded(self, data_dir: Path) -> EmbeddedStore:
        settings = self._settings
        bounds = EmbeddedBounds(
            max_requests_per_worker=settings.engine_max_requests,
            max_bytes_per_worker=settings.engine_max_request_bytes,
            read_patience_s=settings.read_patience_s,
            write_patience_s=settings.write_patience_s,
        )
        return await EmbeddedStore.open(self._engine_config(data_dir), settings.engine_workers, bounds)

    def _engine_config(self, data_dir: Path) -> EngineConfig:
        settings = self._settings
        return EngineConfig(
            data_dir=str(data_dir.absolute()),
            search_threads=settings.engine_search_threads,
            min_free_bytes=settings.engine_min_free_bytes,
            max_open_collections=settings.engine_max_open,
            optimize_after_points=settings.engine_optimize_after,
            optimize_idle_s=settings.engine_optimize_idle_s,
        )

    def _guarded(self, store: VectorStore, name: str) -> GuardedStore:
        """Put breakers before a server.

        The embedded engine needs none: its supervisor knows at once that a worker is away, and when it is back.
        """

        def breaker_of(method: str) -> Breaker:
            return self._breakers.get("qdrant", name, method, STORE_POLICY)

        return GuardedStore(store, breaker_of)


def _keys(path: Path | None) -> dict[str, str]:
    """Read the API keys by endpoint, anew for each connection, so that a changed key needs no restart."""
    if path is None:
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            keys = json.loads(file.read(_MAX_KEYS_BYTES))
    except (OSError, ValueError) as exc:
        raise BackendUnavailable("the keys of stores cannot be read") from exc
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise BackendUnavailable("the keys of stores cannot be read")
    return keys
