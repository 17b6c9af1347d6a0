"""Composition root of the front door."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Final

from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_lease import open_lease_holder
from trunkline_map.blob import FileBlobStore
from trunkline_map.entries import RegionState
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh import metrics
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.breaker import Transition
from trunkline_mesh.breaker_policy import BULK_INFERENCE_POLICY, INFERENCE_POLICY, REGION_POLICY
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import CredentialMissing
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import AUTHORIZATION_KEY
from trunkline_mesh.retry_budget import RetryBudget
from trunkline_routing.edge.budgets import StageBudgets
from trunkline_routing.edge.decide import Decider, DecisionCache
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.failover import Failover
from trunkline_routing.edge.hedging import Hedges
from trunkline_routing.edge.inference_client import InferenceClient
from trunkline_routing.edge.policy import POLICY
from trunkline_routing.edge.policy_book import BlobReader, PolicyBook
from trunkline_routing.edge.ports import Inference, Quota, Rerank, Retrieval
from trunkline_routing.edge.query_vectors import QueryVectors
from trunkline_routing.edge.region_probe import RegionProber
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.rerank_client import RerankClient
from trunkline_routing.edge.reranking import Reranking
from trunkline_routing.edge.retrieval_client import Listener, RetrievalClient
from trunkline_routing.edge.retrieving import Retrieving
from trunkline_routing.edge.route import Route
from trunkline_routing.edge.search import Search, SearchParts
from trunkline_routing.edge.servicer import RoutingServicer
from trunkline_routing.edge.write import Write
from trunkline_routing.settings import RoutingSettings

SERVICE: Final = "trunkline.routing.v1.RoutingService"

log = get_logger("edge")

_OPENINGS = metrics.counter("breaker_transitions", "Changes of state of circuit breakers.", ("name", "state"))


def build_servicer(
    source: MapSource,
    policies: PolicyBook,
    embedding: Embedding,
    retrieval: Retrieval,
    rerank: Rerank,
    quota: Quota,
    breakers: BreakerRegistry,
    settings: RoutingSettings,
    view: RegionView | None = None,
) -> RoutingServicer:
    """Wire use cases over ports; no I/O. Tests and benches give their own ports.

    `view` is what is known of the regions; without one they are known only by how calls to them end.
    """
    view = view or RegionView()
    budget = RetryBudget()
    budgets = StageBudgets.of(settings)
    vectors = QueryVectors(embedding, capacity=settings.decision_cache_size)
    cache = DecisionCache(size=settings.decision_cache_size, ttl_s=settings.decision_cache_ttl_s)
    decider = Decider(policies, vectors, cache)
    hedges = Hedges(settings.hedge_share)
    searching = Failover("retrieval", "Search", REGION_POLICY, breakers, budget, view=view, probed=True, hedges=hedges)
    reordering = Failover("rerank", "Rerank", REGION_POLICY, breakers, budget, view=view)
    parts = SearchParts(
        source=source,
        decider=decider,
        vectors=vectors,
        retrieving=Retrieving(vectors, retrieval, searching, budgets),
        reranking=Reranking(rerank, reordering, budgets, min_s=settings.rerank_min_s),
        quota=quota,
        budgets=budgets,
        settings=settings,
    )
    return RoutingServicer(
        Search(parts),
        Route(source, decider, searching, budgets, settings),
        Write(source, embedding, retrieval, quota, breakers, settings, view.is_out),
        rerank_depth=settings.rerank_depth,
    )


def build_embedding(inference: Inference, breakers: BreakerRegistry, view: RegionView | None = None) -> Embedding:
    """Wire embeddings with failover behind the wall."""
    view = view or RegionView()
    return Embedding(
        inference,
        queries=Failover("inference", "EmbedQueries", INFERENCE_POLICY, breakers, RetryBudget(), view=view),
        passages=Failover("inference", "EmbedPassages", BULK_INFERENCE_POLICY, breakers, RetryBudget(), view=view),
    )


def pressure_listener(view: RegionView) -> Callable[[str], Listener | None]:
    """Return what gives the view the pressure that answers tell: now and then, because reading it is not free."""

    def listener_of(region_id: str) -> Listener | None:
        if not view.wants_pressure(region_id):
            return None
        return lambda state: view.pressed(region_id, state.pressure)

    return listener_of


def binding_of(servicer: RoutingServicer) -> ServiceBinding:
    """Bind the front door's service."""
    return ServiceBinding(
        service=SERVICE,
        servicer=servicer,
        register=routing_grpc.add_RoutingServiceServicer_to_server,
        policy=POLICY,
    )


def leaving(source: MapSource, region_id: str) -> bool:
    """Return True while callers should prefer another region's router: the map says that this region does not serve.

    A region that is not in the map (yet) asks for nothing.
    """
    if not source.ready():
        return False
    region = source.snapshot.region(region_id)
    return region is not None and region.state is not RegionState.SERVING


def note_transition(transition: Transition) -> None:
    """Count and log a breaker's change of state."""
    _OPENINGS.labels(str(transition.name), str(transition.after)).inc()
    log.warning(
        "breaker changed",
        dependency=str(transition.name),
        state=str(transition.after),
        seconds=round(transition.rest_s, 1),
        error_type=transition.cause,
    )


@asynccontextmanager
async def open_edge(settings: RoutingSettings) -> AsyncIterator[MeshApp]:
    """Open the map, the channels and the lease; yield the front door; close in reverse order."""
    breakers, view = BreakerRegistry(on_transition=note_transition), RegionView()
    async with (
        ChannelPool(max_channels=settings.max_channels) as channels,
        open_map_watcher(settings.etcd_access()) as watcher,
        open_lease_holder(
            channels.get(settings.admission_endpoints), credential=lambda: _service_credential(settings)
        ) as lease,
        background(RegionProber(watcher, channels, view).run()),
    ):
        embedding = build_embedding(InferenceClient(channels), breakers, view)
        blobs: BlobReader = FileBlobStore(settings.blob_dir)
        policies = PolicyBook(blobs, embedding, capacity=settings.policy_cache_size)
        servicer = build_servicer(
            watcher,
            policies,
            embedding,
            RetrievalClient(channels, pressure_listener(view)),
            RerankClient(channels),
            lease,
            breakers,
            settings,
            view,
        )
        try:
            soft_checks = {"etcd": watcher.connected, "admission": lambda: lease.healthy}
            yield edge_app(servicer, watcher, settings.region, soft_checks)
        finally:
            await policies.close()


def edge_app(
    servicer: RoutingServicer,
    source: MapSource,
    region_id: str,
    soft_checks: Mapping[str, Callable[[], bool]] = MappingProxyType({}),
) -> MeshApp:
    """Return the front door of a region, ready to be served. It tells its callers when its region does not serve."""
    return MeshApp(
        name="routing",
        bindings=(binding_of(servicer),),
        checks={"map": source.ready},
        soft_checks=soft_checks,
        service_checks={SERVICE: lambda: not leaving(source, region_id)},
        draining=lambda: leaving(source, region_id),
    )


def _service_credential(settings: RoutingSettings) -> Sequence[tuple[str, str]]:
    if settings.service_token_path is None:
        raise OSError("no service credential is set")
    try:
        return ((AUTHORIZATION_KEY, ServiceToken(settings.service_token_path).header()),)
    except CredentialMissing as exc:
        raise OSError("the service credential cannot be read") from exc
