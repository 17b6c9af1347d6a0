"""The real front door, served with every stage, over a static map and played regions."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.fixtures.proxy import TcpProxy
from tests.integration.routing.admission import Admission, open_admission
from tests.integration.routing.backends import DIMENSION, Region, open_region
from tests.unit.routing.world import FakeBlobs, FakeQuota

from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map import testing as maps
from trunkline_map.testing import StaticMap, static_map
from trunkline_mesh.background import background
from trunkline_mesh.breaker_registry import BreakerRegistry
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.serving import start
from trunkline_routing.edge.app import edge_app, pressure_listener
from trunkline_routing.edge.books import Books, open_books
from trunkline_routing.edge.deciding import build_deciding
from trunkline_routing.edge.inference_client import InferenceClient
from trunkline_routing.edge.receipts import Receipts
from trunkline_routing.edge.region_probe import RegionProber
from trunkline_routing.edge.region_view import RegionView
from trunkline_routing.edge.rerank_client import RerankClient
from trunkline_routing.edge.retrieval_client import RetrievalClient
from trunkline_routing.edge.sample_client import SampleClient
from trunkline_routing.edge.wiring import build_embedding, build_servicer
from trunkline_routing.feedback.journal import FileFeedbackStore
from trunkline_routing.settings import RoutingSettings

US, EU, AP = "us-east", "eu-west", "ap-south"
JURISDICTIONS: Final = {US: "us", EU: "eu", AP: "apac"}
TENANT: Final = "acme"
SERVICE: Final = "/trunkline.routing.v1.RoutingService"
POLICY: Final = """
version: 1
collections:
  both: {keywords: [leak]}
  europe: {keywords: [gdpr]}
"""
RESPONSES: Final[dict[str, type[Message]]] = {
    "Search": routing_pb.SearchResponse,
    "SearchBatch": routing_pb.SearchBatchResponse,
    "Route": routing_pb.RouteResponse,
    "Upsert": routing_pb.UpsertResponse,
    "Delete": routing_pb.DeleteResponse,
    "RecordFeedback": routing_pb.RecordFeedbackResponse,
    "SampleDocuments": routing_pb.SampleDocumentsResponse,
}


@dataclass(frozen=True)
class Answer:
    """What a caller got."""

    code: grpc.StatusCode
    response: Any = None
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    fields: Sequence[str] = ()
    everything: str = ""
    """All that the caller can read of a refusal."""
    took_s: float = 0.0


@dataclass
class FrontDoor:
    """A running front door and all that it talks to."""

    region: str
    map: StaticMap
    regions: dict[str, Region]
    identity: DevIdentity
    quota: FakeQuota
    channel: grpc.aio.Channel
    address: str
    view: RegionView
    breakers: BreakerRegistry
    proxies: dict[str, TcpProxy]
    books: Books
    admission: Admission | None = None

    def token(self, **options: Any) -> str:
        """Mint a token of the tenant, or of whom the options say."""
        given: dict[str, Any] = {"tenant": TENANT} | options
        return self.identity.mint("tester", **given)

    async def call(
        self,
        method: str,
        request: Message | bytes,
        *,
        token: str | None = None,
        timeout_s: float | None = 5.0,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> Answer:
        """Call by bytes, so that they need not be a message; an empty token sends no credential."""
        payload = request if isinstance(request, bytes) else request.SerializeToString()
        credential = self.token() if token is None else token
        head = (("authorization", f"Bearer {credential}"),) if credential else ()
        stub: Any = self.channel.unary_unary(f"{SERVICE}/{method}")
        began_s = time.monotonic()
        try:
            raw = await stub(payload, timeout=timeout_s, metadata=(*head, *metadata))
        except grpc.aio.AioRpcError as error:
            return _refusal(error, time.monotonic() - began_s)
        response = RESPONSES[method].FromString(raw)
        return Answer(grpc.StatusCode.OK, response, took_s=time.monotonic() - began_s)

    async def search(self, text: str = "a leak", **options: Any) -> Answer:
        """Search; keyword arguments of `call` and of the request."""
        kept = {name: options.pop(name) for name in ("token", "timeout_s", "metadata") if name in options}
        given: dict[str, Any] = {"text": text, "top_k": 5} | options
        return await self.call("Search", routing_pb.SearchRequest(**given), **kept)


def _refusal(error: grpc.aio.AioRpcError, took_s: float) -> Answer:
    status: Any = rpc_status.from_call(error)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    infos = 0
    for detail in status.details if status is not None else ():
        infos += detail.Is(info.DESCRIPTOR)
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        if detail.Is(bad.DESCRIPTOR):
            detail.Unpack(bad)
    assert infos <= 1
    return Answer(
        error.code(),
        reason=info.reason,
        metadata=dict(info.metadata),
        fields=[one.field for one in bad.field_violations],
        everything=f"{error.details()} {status}",
        took_s=took_s,
    )


def built_map(regions: dict[str, Region], reached: Mapping[str, str] = MappingProxyType({})) -> StaticMap:
    """Return a map of the regions, one tenant of {us, eu}, and one of {eu} alone.

    `reached` names addresses by which regions are reached instead of their own.
    """
    digest = hashlib.sha256(POLICY.encode()).hexdigest()
    return static_map(
        *(
            maps.region(
                name,
                JURISDICTIONS[name],
                routing=f"{name}.test:7000",
                retrieval=reached.get(name, region.address),
                inference=region.address,
                rerank=region.address,
            )
            for name, region in regions.items()
        ),
        maps.space("minilm", dimension=DIMENSION),
        maps.tenant(TENANT, "us", "eu"),
        maps.collection(TENANT, "both", [US, EU], ["us", "eu"]),
        maps.collection(TENANT, "europe", [EU], ["eu"]),
        maps.collection(TENANT, "states", [US], ["us"]),
        maps.policy(TENANT, "us", "eu", digest=digest),
        maps.tenant("globex", "eu"),
        maps.collection("globex", "private", [EU], ["eu"]),
    )


@asynccontextmanager
async def open_front_door(
    folder: Path,
    *,
    region: str = EU,
    probing: bool = False,
    proxied: bool = False,
    valkey_url: str = "",
    **settings: Any,
) -> AsyncIterator[FrontDoor]:
    """Serve the front door of one region, with all regions behind it, which it probes if asked to.

    `proxied` puts a proxy before each region's retrieval. With `valkey_url` quota comes from the real admission service
    over that store.
    """
    async with AsyncExitStack() as stack:
        regions = {name: await stack.enter_async_context(open_region(name)) for name in JURISDICTIONS}
        identity = DevIdentity.create(folder)
        made = RoutingSettings(
            region=region,
            jwks=str(identity.jwks_path),
            issuer=ISSUER,
            audience=AUDIENCE,
            drain_settle_s=0.0,
            drain_grace_s=0.5,
            **settings,
        )
        proxies = {
            name: await stack.enter_async_context(TcpProxy(one.address)) for name, one in regions.items() if proxied
        }
        reached = {name: proxy.address for name, proxy in proxies.items()}
        source, quota = built_map(regions, reached), FakeQuota()
        admission: Admission | None = None
        if valkey_url:
            opening = open_admission(source, identity, folder, region=region, valkey_url=valkey_url)
            admission = await stack.enter_async_context(opening)
        channels = await stack.enter_async_context(ChannelPool())
        breakers, view = BreakerRegistry(), RegionView()
        if probing:
            await stack.enter_async_context(background(RegionProber(source, channels, view).run()))
        books = await stack.enter_async_context(open_books(made, view))
        embedding = build_embedding(InferenceClient(channels), breakers, view)
        blobs = FakeBlobs({hashlib.sha256(POLICY.encode()).hexdigest(): POLICY})
        store = FileFeedbackStore(folder / "feedback")
        stack.push_async_callback(store.close)
        deciding = build_deciding(blobs, embedding, breakers, made, Receipts(os.urandom(32)), store)
        stack.push_async_callback(deciding.close)
        servicer = build_servicer(
            source,
            deciding,
            embedding,
            RetrievalClient(channels, pressure_listener(view)),
            RerankClient(channels),
            SampleClient(channels),
            admission.holder if admission is not None else quota,
            breakers,
            made,
            view,
            books,
        )
        app = edge_app(servicer, source, region, books)
        running = await start(app, made, stack)
        address = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
        yield FrontDoor(
            region, source, regions, identity, quota, channel, address, view, breakers, proxies, books, admission
        )
