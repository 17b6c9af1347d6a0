"""A suspension reaches every service that keeps a map: the real ones, over one real etcd, each with its own watch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from tests.integration.control.conftest import Control, serving
from tests.integration.control.entries import furnish
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.mesh.credentials import AUDIENCE, ISSUER, Issuer

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline.retrieval.v1 import retrieval_service_pb2 as retrieval_pb
from trunkline.retrieval.v1 import retrieval_service_pb2_grpc as retrieval_grpc
from trunkline.routing.v1 import routing_service_pb2 as routing_pb
from trunkline.routing.v1 import routing_service_pb2_grpc as routing_grpc
from trunkline_admission.app import open_app as open_admission
from trunkline_admission.settings import AdmissionSettings
from trunkline_mesh.serving import start
from trunkline_mesh.settings import ServiceSettings
from trunkline_retrieval.app import open_app as open_retrieval
from trunkline_retrieval.settings import RetrievalSettings
from trunkline_routing.app import open_app as open_routing
from trunkline_routing.settings import RoutingSettings

Ask = Callable[[], Awaitable[str]]
"""Calls a service as the tenant; returns the reason of its refusal, or nothing."""


@dataclass
class Services:
    """The services that keep a map, in one process each as they are composed."""

    control: Control
    ask: Mapping[str, Ask]


@pytest.fixture
async def services(etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Services]:
    """A control role, a router, a retrieval and an admission service of `eu-west`."""
    await etcd.clear()
    token = tmp_path / "service.jwt"
    token.write_text(issuer.token(tenant=None, roles=["service"]))
    common: dict[str, Any] = {
        "region": "eu-west",
        "etcd_endpoints": etcd.endpoint,
        "jwks": str(issuer.jwks_path),
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "service_token_path": token,
        "drain_settle_s": 0.0,
        "drain_grace_s": 1.0,
    }
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(serving(etcd, issuer, tmp_path / "blobs"))
        await furnish(control.operator)
        # No Redis is there, so each tenant has its local share, which is enough for this.
        admission = AdmissionSettings(redis_url="redis://127.0.0.1:1/0", **common)
        admission_at = await _serve(open_admission, admission, stack)
        retrieval = RetrievalSettings(data_dir=tmp_path / "data", engine_min_free_bytes=0, **common)
        routing = RoutingSettings(
            admission_endpoints=admission_at,
            blob_dir=tmp_path / "blobs",
            feedback_dir=tmp_path / "feedback",
            **common,
        )
        tenant_token = issuer.token(tenant="acme")

        async def stub_at(kind: Callable[[grpc.aio.Channel], Any], endpoint: str) -> Any:
            return kind(await stack.enter_async_context(grpc.aio.insecure_channel(endpoint)))

        router = await stub_at(routing_grpc.RoutingServiceStub, await _serve(open_routing, routing, stack))
        admitting = await stub_at(admission_grpc.AdmissionServiceStub, admission_at)
        reading = await stub_at(retrieval_grpc.RetrievalServiceStub, await _serve(open_retrieval, retrieval, stack))
        ask = {
            "routing": _asker(router.Route, routing_pb.RouteRequest(text="hello"), tenant_token),
            "search": _asker(router.Search, routing_pb.SearchRequest(text="hello", top_k=1), tenant_token),
            "retrieval": _asker(
                reading.Delete, retrieval_pb.DeleteRequest(collection="docs", document_ids=["a"]), tenant_token
            ),
            "admission": _asker(admitting.Admit, admission_pb.AdmitRequest(cost_tokens=1), tenant_token),
        }
        yield Services(control, ask)


async def _serve(open_app: Callable[[Any], Any], settings: ServiceSettings, stack: AsyncExitStack) -> str:
    app = await stack.enter_async_context(open_app(settings))
    return f"127.0.0.1:{(await start(app, settings, stack)).port}"


def _asker(method: Any, request: Any, token: str) -> Ask:
    async def ask() -> str:
        try:
            await method(request, timeout=10, metadata=(("authorization", f"Bearer {token}"),))
        except grpc.aio.AioRpcError as exc:
            return _reason(exc)
        return ""

    return ask


def _reason(error: grpc.aio.AioRpcError) -> str:
    status: Any = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            return str(info.reason)
    return error.code().name


async def until(ask: Ask, *, suspended: bool) -> None:
    """Ask again and again until the answer is as it must be: some 10 ms, and a promise of 1 s, on a machine at rest."""
    async with asyncio.timeout(20):
        while (await ask() == "TENANT_SUSPENDED") is not suspended:  # noqa: ASYNC110 - each service has its own watch
            await asyncio.sleep(0.01)


async def set_state(control: Control, state: entries_pb.TenantState.ValueType) -> None:
    op = control.operator
    entry = (await op(op.tenants.GetTenant, tenant_pb.GetTenantRequest(tenant_id="acme"))).tenant
    entry.state = state
    await op(op.tenants.PutTenant, tenant_pb.PutTenantRequest(tenant=entry))


async def test_a_suspension_reaches_every_service_and_so_does_its_end(services: Services) -> None:
    """Each refuses with TENANT_SUSPENDED without being told of the change by anything but its own watch of the map."""
    for ask in services.ask.values():
        await until(ask, suspended=False)

    for state, suspended in (
        (entries_pb.TENANT_STATE_SUSPENDED, True),
        (entries_pb.TENANT_STATE_ACTIVE, False),
    ):
        await set_state(services.control, state)
        await asyncio.gather(*(until(ask, suspended=suspended) for ask in services.ask.values()))
