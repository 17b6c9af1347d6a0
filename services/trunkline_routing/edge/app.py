"""Composition root of the front door: what it opens, and what the runtime is given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import MappingProxyType
from typing import Final

from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_lease import open_lease_holder
from trunkline_map.blob import FileBlobStore
from trunkline_map.entries import RegionState
from trunkline_map.rank_book import RankBook
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh import metrics
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.background import background
from trunkline_mesh.breaker import Transition
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import CredentialMissing
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.logs import get_logger
from trunkline_mesh.request import AUTHORIZATION_KEY
from trunkline_routing.edge.books import Books, open_books
from trunkline_routing.edge.chooser_files import read_classifiers, read_own_routers
from trunkline_routing.edge.classifier_client import ClassifierClient
from trunkline_routing.edge.deciding import Deciding, build_deciding
from trunkline_routing.edge.embedding import Embedding
from trunkline_routing.edge.inference_client import InferenceClient
from trunkline_routing.edge.limit_book import LimitBook
from trunkline_routing.edge.own_router_client import OwnRouterClient
from trunkline_routing.edge.policy import POLICY
from trunkline_routing.edge.policy_warming import keep_warm
from trunkline_routing.edge.receipts import Receipts, read_key
from trunkline_routing.edge.region_probe import RegionProber
from trunkline_routing.edge.region_report import RegionReporter, Send
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.report_client import ReportClient
from trunkline_routing.edge.rerank_client import RerankClient
from trunkline_routing.edge.retrieval_client import Listener, RetrievalClient
from trunkline_routing.edge.safe_book import SafeBook
from trunkline_routing.edge.sample_client import SampleClient
from trunkline_routing.edge.servicer import RoutingServicer
from trunkline_routing.edge.wiring import build_embedding, build_servicer
from trunkline_routing.feedback.journal import FileFeedbackStore
from trunkline_routing.settings import RoutingSettings
from trunkline_usage.turned_away import TurnedAway, jurisdiction_by_map

SERVICE: Final = "trunkline.routing.v1.RoutingService"

log = get_logger("edge")

_OPENINGS = metrics.counter("breaker_transitions", "Changes of state of circuit breakers.", ("name", "state"))


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
    credential = partial(_service_credential, settings)
    async with (
        ChannelPool(max_channels=settings.max_channels) as channels,
        open_map_watcher(settings.etcd_access()) as watcher,
        open_books(settings, view) as books,
        open_lease_holder(
            channels.get(settings.admission_endpoints),
            credential=credential,
            safe_of=SafeBook(watcher, books.tiers, routers=settings.routers).of,
            bounds_of=LimitBook(watcher, books.tiers).of,
        ) as lease,
        background(RegionProber(watcher, channels, view).run()),
        AsyncExitStack() as stack,
    ):
        reporter = _reporter(settings, books, ReportClient(channels, settings.admission_endpoints, credential))
        await stack.enter_async_context(background(reporter.run()))
        embedding = build_embedding(InferenceClient(channels), breakers, view)
        deciding = await stack.enter_async_context(open_deciding(embedding, breakers, settings))
        await stack.enter_async_context(
            background(keep_warm(watcher, deciding.policies, deciding.lanes, settings.region))
        )
        servicer = build_servicer(
            watcher,
            deciding,
            embedding,
            RetrievalClient(channels, pressure_listener(view)),
            RerankClient(channels),
            SampleClient(channels),
            lease,
            breakers,
            settings,
            view,
            books,
        )
        soft_checks = {
            "etcd": watcher.connected,
            "admission": lambda: lease.healthy,
            "reports": lambda: reporter.healthy,
            **books.soft_checks(),
        }
        yield edge_app(servicer, watcher, settings.region, books, soft_checks)


@asynccontextmanager
async def open_deciding(
    embedding: Embedding, breakers: BreakerRegistry, settings: RoutingSettings
) -> AsyncIterator[Deciding]:
    """Open what deciding needs of the disk and of the network; close it in reverse order.

    Raises OSError or ValueError for a key or a file of choosers that cannot be read.
    """
    async with AsyncExitStack() as stack:
        store = FileFeedbackStore(settings.feedback_dir)
        stack.push_async_callback(store.close)
        own_router = OwnRouterClient(read_own_routers(settings.own_routers_path))
        stack.push_async_callback(own_router.close)
        classifier = ClassifierClient(read_classifiers(settings.classifiers_path))
        stack.push_async_callback(classifier.close)
        deciding = build_deciding(
            FileBlobStore(settings.blob_dir),
            embedding,
            breakers,
            settings,
            Receipts(read_key(settings.decision_key_path)),
            store,
            own_router=own_router,
            classifier=classifier,
        )
        stack.push_async_callback(deciding.close)
        yield deciding


def edge_app(
    servicer: RoutingServicer,
    source: MapSource,
    region_id: str,
    books: Books,
    soft_checks: Mapping[str, Callable[[], bool]] = MappingProxyType({}),
) -> MeshApp:
    """Return the front door of a region, ready to be served. It tells its callers when its region does not serve.

    `books` are those of the servicer: they have the tiers, and look at the server's limiter.
    """
    return MeshApp(
        name="routing",
        bindings=(binding_of(servicer),),
        checks={"map": source.ready},
        soft_checks=soft_checks,
        service_checks={SERVICE: lambda: not leaving(source, region_id)},
        draining=lambda: leaving(source, region_id),
        rank_of=RankBook(source, books.tiers).rank_of,
        on_limiter=books.utilisation.on_limiter,
        on_refusal=(
            TurnedAway(books.audit, region_id, jurisdiction_by_map(source, region_id))
            if books.audit is not None
            else None
        ),
    )


def _reporter(settings: RoutingSettings, books: Books, send: Send) -> RegionReporter:
    return RegionReporter(send, books.sums, books.standing, books.utilisation, every_s=settings.report_every_s)


def _service_credential(settings: RoutingSettings) -> Sequence[tuple[str, str]]:
    if settings.service_token_path is None:
        raise OSError("no service credential is set")
    try:
        return ((AUTHORIZATION_KEY, ServiceToken(settings.service_token_path).header()),)
    except CredentialMissing as exc:
        raise OSError("the service credential cannot be read") from exc
