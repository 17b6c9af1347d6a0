"""Admission over real gRPC and a real Valkey, with a map that the test holds in its hand."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_admission.app import compose, open_quotas
from trunkline_admission.settings import AdmissionSettings, TierSettings
from trunkline_local.errors import BinaryMissingError
from trunkline_local.host import ProcessHost
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_local.valkey import Valkey, start_valkey
from trunkline_map.testing import StaticMap, static_map, tenant
from trunkline_mesh.serving import start

TIERS = {
    "free": TierSettings(rank=0, tokens_per_s=0.01, burst_tokens=20, guaranteed_share=0.0),
    "pro": TierSettings(rank=1, tokens_per_s=0.01, burst_tokens=100, guaranteed_share=0.5),
    "enterprise": TierSettings(rank=2, tokens_per_s=1000, burst_tokens=5000, guaranteed_share=1.0),
}
"""Slow tiers, so that what flows in while a test runs does not count."""


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

    @staticmethod
    def _metadata(token: str, request_id: str) -> tuple[tuple[str, str], ...]:
        named = (("trunkline-request-id", request_id),) if request_id else ()
        return (("authorization", f"Bearer {token}"), *named)


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


@pytest.fixture
def settings_of(identity: DevIdentity) -> Callable[..., AdmissionSettings]:
    """Return settings with a key prefix of their own, and patience for a busy machine."""

    def make(redis_url: str, **changes: Any) -> AdmissionSettings:
        common: dict[str, Any] = {
            "redis_url": redis_url,
            "redis_timeout_s": 1.0,
            "key_prefix": f"test:{secrets.token_hex(6)}",
            "tiers": TIERS,
            "jwks": str(identity.jwks_path),
            "issuer": ISSUER,
            "audience": AUDIENCE,
            "drain_settle_s": 0.0,
            "drain_grace_s": 0.5,
        }
        return AdmissionSettings(**(common | changes))

    return make


@pytest.fixture
def serve(identity: DevIdentity, opened: AsyncExitStack, settings_of: Callable[..., AdmissionSettings]) -> Serve:
    """Start the service with all stages over the store at a URL; keyword arguments are settings."""

    async def start_one(redis_url: str, **changes: Any) -> Admission:
        settings = settings_of(redis_url, **changes)
        source = static_map(
            tenant("acme", "eu", tier="pro"),
            tenant("poor", "eu", tier="free"),
            tenant("rich", "eu", tier="enterprise"),
            tenant("gone", "eu", suspended=True),
        )
        quotas = await opened.enter_async_context(open_quotas(settings))
        running = await start(compose(settings, source, quotas), settings, opened)
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
