"""The whole way over gRPC: reports, levels, promises, budgets over two regions, and the control role's freeze."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
import yaml
from tests.integration.control.caller import Caller, Refused
from tests.integration.map.etcd_server import running_etcd
from tests.integration.promises.conftest import QUICK, report, spending

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline.control.v1 import changes_pb2 as changes_pb
from trunkline.control.v1 import map_entries_pb2 as entries_pb
from trunkline.control.v1 import region_service_pb2 as region_pb
from trunkline.control.v1 import tenant_service_pb2 as tenant_pb
from trunkline_admission import cost_forwarder
from trunkline_admission.app import open_over
from trunkline_admission.settings import AdmissionSettings
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_map.entries import TenantEntry, TenantLimits
from trunkline_map.home_region import home_region
from trunkline_map.testing import StaticMap, region, static_map, tenant
from trunkline_mesh.channels import ChannelPool
from trunkline_mesh.errors import ChangesFrozen
from trunkline_mesh.identity import ServiceToken
from trunkline_mesh.serving import start
from trunkline_routing.control import freeze_watch
from trunkline_routing.control.app import open_control
from trunkline_routing.control.freeze import Freeze
from trunkline_routing.control.freeze_watch import FreezeWatch, asker
from trunkline_routing.settings import RoutingSettings
from trunkline_tiers import default_tiers, default_tiers_text

REGIONS = ("eu-1", "eu-2")


@dataclass(frozen=True)
class Service:
    """One region's admission, and clients of it."""

    address: str
    admission: admission_grpc.AdmissionServiceStub
    usage: usage_grpc.UsageServiceStub
    identity: DevIdentity

    def as_router(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a service credential."""
        return (("authorization", f"Bearer {self.identity.mint('router', roles=['service'])}"),)

    async def report(self, request: admission_pb.ReportRequest) -> admission_pb.ReportResponse:
        """Send a router's report."""
        return await self.admission.Report(request, metadata=self.as_router(), timeout=10)

    async def budget(self, tenant_id: str) -> usage_pb.LimitState:
        """Return the tenant's budget among its limits."""
        request = usage_pb.GetLimitsRequest(tenant_id=tenant_id)
        answer = await self.usage.GetLimits(request, metadata=self.as_router(), timeout=10)
        return next(each for each in answer.limits if each.unit == quota_pb.LIMIT_UNIT_MICROS)


Open = Callable[[str, StaticMap], Awaitable[Service]]


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> DevIdentity:
    """Sign credentials that the services under test accept."""
    return DevIdentity.create(tmp_path_factory.mktemp("identity"))


@pytest.fixture
def token_path(identity: DevIdentity, tmp_path: Path) -> Path:
    """Return the file with a service's own credential."""
    path = tmp_path / "service.jwt"
    path.write_text(identity.mint("admission", roles=["service"]), encoding="ascii")
    return path


@pytest.fixture
async def open_service(valkey_url: str, identity: DevIdentity, token_path: Path, tmp_path: Path) -> AsyncIterator[Open]:
    """Start a region's admission with keys of its own in the shared store; it writes its address into the map."""
    tiers = yaml.safe_load(default_tiers_text())
    tiers["levels"] |= QUICK
    tiers_path = tmp_path / "tiers.yaml"
    tiers_path.write_text(yaml.safe_dump(tiers), encoding="utf-8")
    async with AsyncExitStack() as stack:

        async def open_one(name: str, source: StaticMap) -> Service:
            settings = AdmissionSettings(
                region=name,
                redis_url=valkey_url,
                redis_timeout_s=1.0,
                key_prefix=f"test:{secrets.token_hex(6)}",
                tiers_path=tiers_path,
                service_token_path=token_path,
                jwks=str(identity.jwks_path),
                issuer=ISSUER,
                audience=AUDIENCE,
                drain_settle_s=0.0,
                drain_grace_s=0.5,
            )
            app = await stack.enter_async_context(open_over(settings, source))
            running = await start(app, settings, stack)
            address = f"127.0.0.1:{running.port}"
            source.put(region(name, "eu", admission=address))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(address))
            return Service(
                address,
                admission_grpc.AdmissionServiceStub(channel),
                usage_grpc.UsageServiceStub(channel),
                identity,
            )

        yield open_one


async def test_a_report_brings_a_level_that_everybody_is_told(open_service: Open) -> None:
    """In the next answers, and by GetLevels."""
    service = await open_service("eu-1", static_map(tenant("acme", "eu")))
    for number in range(1, 200):
        answer = await service.report(report(number, tier="pro", errors=50))
        if answer.levels[1].level == 3:
            break
        await asyncio.sleep(0.1)

    assert [(told.tier, told.level) for told in answer.levels] == [("free", 1), ("pro", 3), ("enterprise", 1)]
    told = await service.usage.GetLevels(usage_pb.GetLevelsRequest(), metadata=service.as_router(), timeout=10)
    assert (told.levels[1].level, told.levels[1].cause, told.routers) == (3, "errors", 1)


async def test_reports_are_for_services_and_within_bounds(open_service: Open) -> None:
    """A tenant's credential is refused, and so is a report of nothing."""
    service = await open_service("eu-1", static_map(tenant("acme", "eu")))
    as_tenant = (("authorization", f"Bearer {service.identity.mint('someone', tenant='acme')}"),)

    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await service.admission.Report(report(1), metadata=as_tenant, timeout=10)
    with pytest.raises(grpc.aio.AioRpcError) as invalid:
        await service.report(admission_pb.ReportRequest())

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert invalid.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_the_control_role_freezes_changes_by_what_admission_says(open_service: Open, token_path: Path) -> None:
    """With its own credential, over the map's endpoints; what is urgent and an operator's passes."""
    source = static_map(tenant("acme", "eu"), tenant("big", "eu", tier="enterprise"))
    service = await open_service("eu-1", source)
    await service.report(report(1, tier="pro", calls=1000, errors=100))
    freeze = Freeze(default_tiers())
    async with ChannelPool() as channels:
        await FreezeWatch(source, freeze, asker(channels, ServiceToken(token_path))).poll()

    with pytest.raises(ChangesFrozen) as caught:
        freeze.require(tenant=source.snapshot.tenant("acme"), urgent=True, operator=False, emergency_kind=False)

    assert dict(caught.value.metadata) == {"scope": "tier", "name": "pro", "action": "VIOLATED", "where": "eu-1"}
    freeze.require(tenant=source.snapshot.tenant("acme"), urgent=True, operator=True, emergency_kind=False)
    freeze.require(tenant=source.snapshot.tenant("big"), urgent=False, operator=False, emergency_kind=False)


async def test_a_budget_is_one_over_two_regions(open_service: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """Costs in one region are told to the tenant's home region; both tell that all is spent."""
    monkeypatch.setattr(cost_forwarder, "FORWARD_S", 0.05)
    limits = TenantLimits(budget_micros_per_month=1000)
    source = static_map(TenantEntry("spender", "pro", frozenset({"eu"}), limits=limits, revision=1))
    services = {name: await open_service(name, source) for name in REGIONS}
    entry = source.snapshot.tenant("spender")
    assert entry is not None
    home = home_region(source.snapshot, entry)
    assert home is not None
    away = services[next(name for name in REGIONS if name != home)]

    await services[home].report(report(1, tenants=(spending("spender", 600),)))
    fine = await away.report(report(1, tenants=(spending("spender", 500),)))
    assert not fine.budgets
    for number in range(2, 200):
        told = await away.report(report(number, tenants=(spending("spender", 0),)))
        if told.budgets:
            break
        await asyncio.sleep(0.05)
    at_home = await services[home].report(report(2, tenants=(spending("spender", 0),)))
    told_limits = await asyncio.gather(*(each.budget("spender") for each in services.values()))

    assert [each.state for each in told.budgets] == [admission_pb.BUDGET_STATE_SPENT]
    assert [each.used_part for each in at_home.budgets] == [1.1]
    for limit in told_limits:
        assert (limit.limit, limit.used, limit.period) == (1000, 1100, quota_pb.LIMIT_PERIOD_MONTH)


async def test_a_change_waits_at_the_control_role_and_passes_when_it_is_urgent(
    open_service: Open, identity: DevIdentity, token_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over real servers: the spent budget of a tier stops a tenant's new tier, not its suspension."""
    monkeypatch.setattr(freeze_watch, "POLL_S", 0.05)
    service = await open_service("eu-1", static_map(tenant("acme", "eu")))
    async with running_etcd(tmp_path) as etcd, AsyncExitStack() as stack:
        settings = RoutingSettings(
            role="control",
            etcd_endpoints=etcd.endpoint,
            blob_dir=tmp_path / "blobs",
            service_token_path=token_path,
            jwks=str(identity.jwks_path),
            issuer=ISSUER,
            audience=AUDIENCE,
            drain_settle_s=0.0,
            drain_grace_s=0.5,
        )
        running = await start(await stack.enter_async_context(open_control(settings)), settings, stack)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{running.port}"))
        op = Caller(channel, identity.mint("olga", roles=["operator"]))
        placed = entries_pb.Region(
            region_id="eu-1",
            jurisdiction="eu",
            endpoints=entries_pb.RegionEndpoints(admission=[service.address]),
            state=entries_pb.REGION_STATE_SERVING,
        )
        await op(op.regions.PutRegion, region_pb.PutRegionRequest(region=placed))
        entry = entries_pb.Tenant(tenant_id="acme", tier="pro", jurisdictions=["eu"])
        entry = (await op(op.tenants.PutTenant, tenant_pb.PutTenantRequest(tenant=entry))).tenant
        await service.report(report(1, tier="pro", calls=1000, errors=100))

        for number in range(200):
            entry.quota_tokens_per_s = number + 1
            try:
                entry = (await op(op.tenants.PutTenant, tenant_pb.PutTenantRequest(tenant=entry))).tenant
            except Refused as exc:
                refusal = exc
                break
            await asyncio.sleep(0.05)
        urgent = tenant_pb.PutTenantRequest(tenant=entry, options=changes_pb.ChangeOptions(urgent=True))
        entry = (await op(op.tenants.PutTenant, urgent)).tenant
        entry.state = entries_pb.TENANT_STATE_SUSPENDED
        suspended = await op(op.tenants.PutTenant, tenant_pb.PutTenantRequest(tenant=entry))

    assert (refusal.reason, refusal.metadata["name"], refusal.metadata["action"]) == (
        "CHANGES_FROZEN",
        "pro",
        "VIOLATED",
    )
    assert suspended.tenant.state == entries_pb.TENANT_STATE_SUSPENDED
