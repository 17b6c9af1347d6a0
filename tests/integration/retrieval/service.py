"""A retrieval service over real gRPC: embedded engine, static map, tokens of a test issuer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.integration.mesh.credentials import AUDIENCE, ISSUER, Issuer

from trunkline.common.v1 import document_pb2 as document_pb
from trunkline.common.v1 import vector_pb2 as vector_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline_map.testing import StaticMap, collection, region, space, static_map, tenant
from trunkline_mesh.serving import start
from trunkline_retrieval.app import compose, open_store
from trunkline_retrieval.settings import RetrievalSettings
from trunkline_retrieval.store_pool import StorePool
from trunkline_usage.refusal_account import open_refusal_account
from trunkline_usage.turned_away import jurisdiction_by_map

DIMENSION = 4
EAST = (1.0, 0.0, 0.0, 0.0)
NORTH = (0.0, 1.0, 0.0, 0.0)


def world() -> StaticMap:
    """Return a map of two regions and two tenants that share a shard."""
    return static_map(
        region("us-east", "us"),
        region("eu-west", "eu"),
        tenant("acme", "eu", "us"),
        tenant("globex", "eu"),
        tenant("gone", "eu", suspended=True),
        space("minilm", dimension=DIMENSION),
        space("wide", dimension=8),
        collection("acme", "docs", ["eu-west", "us-east"], ["eu", "us"]),
        collection("acme", "notes", ["eu-west"], ["eu"]),
        collection("acme", "wide", ["eu-west"], ["eu"], space_id="wide", dedicated=True),
        collection("acme", "far", ["us-east"], ["us"]),
        collection("acme", "outside", ["eu-west"], ["us"]),
        collection("globex", "docs", ["eu-west"], ["eu"]),
        collection("gone", "docs", ["eu-west"], ["eu"]),
        revision=7,
    )


@dataclass(frozen=True)
class Refusal:
    """What a refused caller got."""

    code: grpc.StatusCode
    reason: str
    """Reason of the one ErrorInfo; empty if there is none."""
    fields: tuple[str, ...]
    """Fields that a BadRequest names."""
    everything: str
    """All that the caller can read."""


@dataclass
class RetrievalService:
    """A running service and a caller of it."""

    stub: Any
    channel: grpc.aio.Channel
    issuer: Issuer
    the_map: StaticMap
    store: StorePool

    def credential(self, **claims: Any) -> Sequence[tuple[str, str]]:
        """Return metadata with a token of acme, with changes."""
        return (("authorization", f"Bearer {self.issuer.token(**claims)}"),)

    async def call(self, method: str, request: Any, *, timeout_s: float | None = 10.0, **claims: Any) -> Any:
        """Make one unary call."""
        return await getattr(self.stub, method)(request, timeout=timeout_s, metadata=self.credential(**claims))

    async def refused(self, method: str, request: Any, **options: Any) -> Refusal:
        """Make a call that must be refused."""
        try:
            if method == "Export":
                await self.export(request, **options)
            else:
                await self.call(method, request, **options)
        except grpc.aio.AioRpcError as error:
            return refusal_of(error)
        raise AssertionError(f"{method} was answered")

    async def export(self, request: retrieval_pb.ExportRequest, **claims: Any) -> list[retrieval_pb.ExportResponse]:
        """Read a whole export."""
        call = self.stub.Export(request, timeout=10.0, metadata=self.credential(**claims))
        return [response async for response in call]


def refusal_of(error: grpc.aio.AioRpcError) -> Refusal:
    """Return what the caller can read in an error."""
    status: Any = rpc_status.from_call(error)
    reasons: list[str] = []
    fields: tuple[str, ...] = ()
    for detail in status.details if status is not None else ():
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reasons.append(info.reason)
        elif detail.Unpack(bad):
            fields = tuple(violation.field for violation in bad.field_violations)
    assert len(reasons) <= 1
    return Refusal(error.code(), "".join(reasons), fields, f"{error.details()} {status}")


async def start_service(stack: AsyncExitStack, folder: Path, **changes: Any) -> RetrievalService:
    """Start the service in `eu-west`; `stack` closes it. `changes` are settings."""
    issuer = Issuer(folder)
    fields: dict[str, Any] = {
        "region": "eu-west",
        "jwks": str(issuer.jwks_path),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "data_dir": folder / "data",
        "engine_min_free_bytes": 0,
        "drain_settle_s": 0.0,
    }
    settings = RetrievalSettings(**(fields | changes))
    the_map = world()
    store = await stack.enter_async_context(open_store(settings))
    jurisdiction_of = jurisdiction_by_map(the_map, settings.region)
    refusals = await stack.enter_async_context(
        open_refusal_account(settings, "retrieval", region=settings.region, jurisdiction_of=jurisdiction_of)
    )
    running = await start(compose(settings, the_map, store, refusals), settings, stack)
    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
    return RetrievalService(retrieval_grpc.RetrievalServiceStub(channel), channel, issuer, the_map, store)


def embedded(
    document_id: str,
    values: Sequence[float] = EAST,
    text: str = "a plain sentence",
    fields: Mapping[str, document_pb.FieldValue] | None = None,
) -> retrieval_pb.EmbeddedDocument:
    """Return a document with its vector."""
    document = document_pb.Document(document_id=document_id, text=text, fields=fields or {})
    return retrieval_pb.EmbeddedDocument(document=document, values=values)


def upsert(*documents: retrieval_pb.EmbeddedDocument, **changes: Any) -> retrieval_pb.UpsertRequest:
    """Return a write to acme's docs, with changes."""
    return retrieval_pb.UpsertRequest(
        **({"collection": "docs", "space_id": "minilm", "documents": documents} | changes)
    )


def search(**changes: Any) -> retrieval_pb.SearchRequest:
    """Return a hybrid search of acme's docs, with changes."""
    fields: dict[str, Any] = {"collections": ["docs"], "text": "plain sentence", "vectors": [query()], "limit": 10}
    return retrieval_pb.SearchRequest(**(fields | changes))


def query(values: Sequence[float] = EAST, space_id: str = "minilm") -> vector_pb.QueryVector:
    """Return a query vector."""
    return vector_pb.QueryVector(space_id=space_id, values=values)


def ids(response: retrieval_pb.SearchResponse) -> list[list[str]]:
    """Return the ids that a search found, by collection."""
    return [[hit.document.document_id for hit in result.hits] for result in response.results]
