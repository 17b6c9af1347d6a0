"""Composition of the retrieval service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_retrieval.export import Export
from trunkline_retrieval.metrics import observed
from trunkline_retrieval.placement import Placements, has_stores
from trunkline_retrieval.policy import POLICY, SERVICE
from trunkline_retrieval.search import Search
from trunkline_retrieval.servicer import RetrievalServicer
from trunkline_retrieval.settings import RetrievalSettings
from trunkline_retrieval.store import VectorStore
from trunkline_retrieval.store_opening import StoreOpener
from trunkline_retrieval.store_pool import StorePool
from trunkline_retrieval.write import Write
from trunkline_tiers import read_tiers
from trunkline_usage.refusal_account import NO_ACCOUNT, RefusalAccount, open_refusal_account
from trunkline_usage.turned_away import jurisdiction_by_map


@asynccontextmanager
async def open_app(settings: RetrievalSettings) -> AsyncIterator[MeshApp]:
    """Open the map and the store, yield the application, close both in reverse."""
    async with (
        open_map_watcher(settings.etcd_access()) as source,
        open_store(settings) as store,
        open_refusal_account(
            settings, "retrieval", region=settings.region, jurisdiction_of=jurisdiction_by_map(source, settings.region)
        ) as refusals,
    ):
        yield compose(settings, source, store, refusals)


@asynccontextmanager
async def open_store(settings: RetrievalSettings) -> AsyncIterator[StorePool]:
    """Open the default vector store that the settings name; others are opened when collections need them."""
    opener = StoreOpener(settings)
    store = StorePool(await opener.default(), opener.at, max_stores=settings.max_stores)
    try:
        with observed(store):
            yield store
    finally:
        await store.close()


def compose(
    settings: RetrievalSettings, source: MapSource, store: VectorStore, refusals: RefusalAccount = NO_ACCOUNT
) -> MeshApp:
    """Wire the service around a map and a store. Does no I/O but to read the tier file."""
    placements = Placements(source, settings.region, jurisdiction=settings.jurisdiction)
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

    def serves_some() -> bool:
        """Return True unless nothing can be served: without its default store a region serves those of others."""
        return store.ready() or (source.ready() and has_stores(source.snapshot, settings.region))

    return MeshApp(
        name="retrieval",
        bindings=(binding,),
        checks={"map": source.ready, "stores": serves_some},
        soft_checks={"store": store.ready, **refusals.soft_checks},
        rank_of=RankBook(source, read_tiers(settings.tiers_path)).rank_of,
        on_refusal=refusals.on_refusal,
    )
