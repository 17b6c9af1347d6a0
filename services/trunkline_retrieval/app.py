"""Composition of the retrieval service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import STORE_POLICY
from trunkline_retrieval.embedded_store import EmbeddedBounds, EmbeddedStore
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.export import Export
from trunkline_retrieval.guarded_store import GuardedStore
from trunkline_retrieval.metrics import observed
from trunkline_retrieval.placement import Placements
from trunkline_retrieval.policy import POLICY, SERVICE
from trunkline_retrieval.search import Search
from trunkline_retrieval.servicer import RetrievalServicer
from trunkline_retrieval.settings import RetrievalSettings, StoreKind
from trunkline_retrieval.store import VectorStore
from trunkline_retrieval.write import Write


@asynccontextmanager
async def open_app(settings: RetrievalSettings) -> AsyncIterator[MeshApp]:
    """Open the map and the store, yield the application, close both in reverse."""
    async with open_map_watcher(settings.etcd_access()) as source, open_store(settings) as store:
        yield compose(settings, source, store)


@asynccontextmanager
async def open_store(settings: RetrievalSettings) -> AsyncIterator[VectorStore]:
    """Open the vector store that the settings name."""
    store = await (_open_embedded(settings) if settings.store is StoreKind.EMBEDDED else _open_qdrant(settings))
    try:
        with observed(store):
            yield store
    finally:
        await store.close()


def compose(settings: RetrievalSettings, source: MapSource, store: VectorStore) -> MeshApp:
    """Wire the service around a map and a store. Does no I/O."""
    placements = Placements(source, settings.region)
    servicer = RetrievalServicer(
        Search(placements, store),
        Write(placements, store),
        Export(placements, store),
        max_message_bytes=settings.max_message_bytes,
    )
    binding = ServiceBinding(
        service=SERVICE,
        servicer=servicer,
        register=retrieval_grpc.add_RetrievalServiceServicer_to_server,
        policy=POLICY,
    )
    return MeshApp(name="retrieval", bindings=(binding,), checks={"map": source.ready, "store": store.ready})


async def _open_embedded(settings: RetrievalSettings) -> VectorStore:
    config = EngineConfig(
        data_dir=str(settings.data_dir.absolute()),
        search_threads=settings.engine_search_threads,
        min_free_bytes=settings.engine_min_free_bytes,
        max_open_collections=settings.engine_max_open,
        optimize_after_points=settings.engine_optimize_after,
        optimize_idle_s=settings.engine_optimize_idle_s,
    )
    bounds = EmbeddedBounds(
        max_requests_per_worker=settings.engine_max_requests,
        max_bytes_per_worker=settings.engine_max_request_bytes,
        read_patience_s=settings.read_patience_s,
        write_patience_s=settings.write_patience_s,
    )
    return await EmbeddedStore.open(config, settings.engine_workers, bounds)


async def _open_qdrant(settings: RetrievalSettings) -> VectorStore:
    # Imported here: the client library is large, and most installations of the embedded engine never use it.
    from trunkline_retrieval.qdrant_store import QdrantStore

    store = await QdrantStore.open(
        settings.qdrant_url,
        grpc_port=settings.qdrant_grpc_port,
        api_key=settings.qdrant_api_key.get_secret_value() or None,
        max_requests=settings.qdrant_max_requests,
    )
    # The embedded engine needs no breaker: its supervisor knows at once that a worker is away, and when it is back.
    return GuardedStore(store, lambda method: Breaker(f"qdrant/{settings.region}/{method}", STORE_POLICY))
