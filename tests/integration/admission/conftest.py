"""Admission over real gRPC and a real Valkey, with a map that the test holds in its hand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_lease import Charge
from trunkline_local.errors import BinaryMissingError
from trunkline_local.host import ProcessHost
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_local.valkey import Valkey, start_valkey
from trunkline_map.testing import StaticMap, static_map, tenant
from trunkline_mesh.serving import start

TIERS = """
version: 1
tiers:
  free: &free
    rank: 0
    tenant: &share
      requests_per_day: 1000000
      requests_per_minute: 0.6
      burst_factor: 21
      burst_s: 100
      tokens_per_request: 1
    pool: {requests_per_day: 1000000000, lendable_percent: 100}
    capacity: {weight: 1, gpu_weight: 1, queue_length: 500, in_flight_per_key: 100, in_flight_per_instance: 100}
    without_store_share: 0.0
    objective: {p95_ms: 5000, availability: 0.95}
  pro:
    <<: *free
    rank: 1
    tenant: {<<: *share, burst_factor: 101}
    without_store_share: 0.5
  enterprise:
    <<: *free
    rank: 2
    tenant: {<<: *share, requests_per_minute: 60000, burst_factor: 2, burst_s: 5}
    without_store_share: 1.0
levels:
  reduced: {utilisation: 0.7, p95_ms: 1000, error_rate: 0.01}
  emergency: {utilisation: 0.9, p95_ms: 2000, error_rate: 0.02}
"""
"""Slow tiers, so that what flows in while a test runs does not count: bursts of 20, 100 and 5,000 requests and as many
tokens."""


@dataclass(frozen=True)
class Admission:
    """A running admission service, and clients of it."""

    address: str
    source: StaticMap
    stub: admission_grpc.AdmissionServiceStub
    channel: grpc.aio.Channel
    identity: DevIdentity

    def as_tenant(self, tenant_id: str, request_id: str = "") -> tuple[tuple[str, str], ...]:
        """Return the metadata of a tenant's call."""
        return self._metadata(self.identity.mint("caller", tenant=tenant_id), request_id)

    def as_router(self, subject: str = "router") -> tuple[tuple[str, str], ...]:
        """Return the metadata of a service credential."""
        return self._metadata(self.identity.mint(subject, roles=["service"]), "")

    async def left_of(self, tenant_id: str) -> Charge:
        """Take all that is left of a tenant's quota, and say how much it was."""
        call = self.stub.Lease(metadata=self.as_router("auditor"), timeout=10)
        wish = admission_pb.LeaseRequest(tenant_id=tenant_id, wanted_tokens=10_000, wanted_requests=10_000)
        await call.write(wish)
        answer = await call.read()
        call.cancel()
        assert isinstance(answer, admission_pb.LeaseResponse)
        return Charge(answer.granted_requests, answer.granted_tokens)

    @staticmethod
    def _metadata(token: str, request_id: str) -> tuple[tuple[str, str], ...]:
        named = (("trunkline-request-id", request_id),) if request_id else ()
        return (("authorization", f"Bearer {token}"), *named)


TENANTS = (
    tenant("acme", "eu", tier="pro"),
    tenant("poor", "eu", tier="free"),
    tenant("rich", "eu", tier="enterprise"),
    tenant("gone", "eu", suspended=True),
)
Serve = Callable[..., Awaitable[Admission]]


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> DevIdentity:
    """Sign credentials that the services under test accept."""
    return DevIdentity.create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
async def opened() -> AsyncIterator[AsyncExitStack]:
    """Close what a test opened, last first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def tiers_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tier file of these tests."""
    path = tmp_path_factory.mktemp("tiers") / "tiers.yaml"
    path.write_text(TIERS, encoding="utf-8")
    return path


@pytest.fixture
def settings_of(identity: DevIdentity, tiers_path: Path) -> Callable[..., AdmissionSettings]:
    """Return settings with a key prefix of their own, and patience for a busy machine."""

    def make(redis_url: str, **changes: Any) -> AdmissionSettings:
        common: dict[str, Any] = {
            "redis_url": redis_url,
            "redis_timeout_s": 1.0,
            "key_prefix": f"test:{secrets.token_hex(6)}",
            "tiers_path": tiers_path,
            "jwks": str(identity.jwks_path),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "drain_settle_s": 0.0,
            "drain_grace_s": 0.5,
        }
        return AdmissionSettings(**(common | changes))

    return make


@pytest.fixture
def serve(
    identity: DevIdentity,
    opened: AsyncExitStack,
    settings_of: Callable[..., AdmissionSettings],
    monkeypatch: pytest.MonkeyPatch,
) -> Serve:
    """Start the service with all stages over the store at a URL; keyword arguments are settings.

    Admit waits for its authority as long as a busy machine may take: the counts of these tests are exact.
    """
    monkeypatch.setattr("trunkline_admission.app.OWN_REFILL_S", 10.0)

    async def start_one(redis_url: str, source: StaticMap | None = None, **changes: Any) -> Admission:
        settings = settings_of(redis_url, **changes)
        source = source or static_map(*TENANTS)
        app = await opened.enter_async_context(open_over(settings, source))
        running = await start(app, settings, opened)
        address = f"127.0.0.1:{running.port}"
        channel = await opened.enter_async_context(grpc.aio.insecure_channel(address))
        return Admission(address, source, admission_grpc.AdmissionServiceStub(channel), channel, identity)

    return start_one


@pytest.fixture
async def own_valkey(
    process_host: ProcessHost, port_allocator: PortAllocator, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Valkey]:
    """Start a Valkey of the test's own, which it may freeze and kill."""
    try:
        valkey = await start_valkey(process_host, port_allocator, tmp_path_factory.mktemp("valkey"), name="own-valkey")
    except BinaryMissingError as exc:
        pytest.skip(str(exc))
    yield valkey
    valkey.child.resume()
    await valkey.child.stop()


@pytest.fixture
def no_store() -> str:
    """Return a store's address where nobody listens."""
    return "redis://127.0.0.1:1/0"
