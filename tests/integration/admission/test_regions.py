"""One limit over two regions, over real gRPC and real Valkeys: leases between admission services."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest
from tests.fixtures.proxy import ProxyTo
from tests.integration.admission.conftest import Admission, Serve

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline.admission.v1 import usage_service_pb2_grpc as usage_grpc
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_local.identity import DevIdentity
from trunkline_map.entries import RegionState, TenantEntry
from trunkline_map.home_region import home_region
from trunkline_map.testing import StaticMap, region, static_map
from trunkline_mesh.errors import QuotaExhausted, ResidencyRouterOutside
from trunkline_mesh.status import from_rpc_error

REGIONS = ("eu", "us")
ADVANCE = 5
BURST = 60
ACME = TenantEntry("acme", "pro", frozenset(REGIONS), revision=1)
"""100 requests and tokens at once, hardly any more after that, in both regions together."""


class TwoRegions:
    """Two admission services that know of each other."""

    def __init__(self, services: dict[str, Admission], source: StaticMap) -> None:
        self.services = services
        self.source = source
        home = home_region(source.snapshot, ACME)
        assert home is not None
        self.home_name = home
        self.away_name = next(name for name in REGIONS if name != home)
        self.home, self.away = services[home], services[self.away_name]

    async def admit(self, admission: Admission, count: int, tokens: int = 1) -> list[admission_pb.Permit]:
        """Admit so many requests, one after the other, until one is refused."""
        permits = []
        for _ in range(count):
            try:
                permits.append(await self.admit_one(admission, tokens))
            except QuotaExhausted:
                break
        return permits

    async def admit_one(self, admission: Admission, tokens: int = 1, tenant_id: str = "acme") -> admission_pb.Permit:
        request = admission_pb.AdmitRequest(cost_tokens=tokens)
        try:
            response = await admission.stub.Admit(request, metadata=admission.as_tenant(tenant_id), timeout=10)
        except grpc.aio.AioRpcError as exc:
            raise from_rpc_error(exc) or exc from None
        return response.permit

    async def until_refused(self, admissions: list[Admission]) -> int:
        """Admit in all of them until each has refused for longer than a far answer takes, and a refusal is believed.

        That is 2 s: before, what was granted may lie unspent in a lease.
        """
        granted, refusals = 0, dict.fromkeys(range(len(admissions)), 0)
        async with asyncio.timeout(60):
            while min(refusals.values()) < 120:
                for number, admission in enumerate(admissions):
                    try:
                        await self.admit_one(admission)
                        granted += 1
                        refusals[number] = 0
                    except QuotaExhausted:
                        refusals[number] += 1
                await asyncio.sleep(0.02)
        return granted


@pytest.fixture
async def regions(serve: Serve, valkey_url: str, identity: DevIdentity, tmp_path: Path) -> TwoRegions:
    """Start two regions; each has keys of its own in the store, as if it had a store of its own."""
    source, services = static_map(ACME, TenantEntry("gdpr", "pro", frozenset({"eu"}), revision=1)), {}
    for name in REGIONS:
        token = tmp_path / f"{name}.jwt"
        token.write_text(identity.mint(f"trunkline-admission@{name}", roles=["service"]), encoding="ascii")
        services[name] = await serve(
            valkey_url, source, region=name, service_token_path=token, advance_requests=ADVANCE
        )
        source.put(region(name, name))
    for name, service in services.items():
        source.put(region(name, name, admission=service.address))
    return TwoRegions(services, source)


async def test_a_tenant_has_one_limit_in_both_regions(regions: TwoRegions) -> None:
    """All that both grant together is the limit and at most one advance; the home alone keeps count."""
    granted = await regions.until_refused([regions.home, regions.away])

    assert 95 <= granted <= 100 + ADVANCE + 1


async def test_the_first_request_elsewhere_waits_for_no_far_call(regions: TwoRegions) -> None:
    """With the home's address dead, the first requests are granted as fast as ever: in advance, or from the share."""
    name = regions.home_name
    regions.source.put(region(name, name, admission="127.0.0.1:1"))

    first = await regions.admit_one(regions.away)

    assert first.requests == 1


async def test_the_other_region_lives_on_its_lease(regions: TwoRegions) -> None:
    """Far more than the advance is granted there, and it is the home's quota that pays."""
    granted = 0

    async def admits() -> None:
        nonlocal granted
        while granted < BURST:
            granted += len(await regions.admit(regions.away, 1))
            await asyncio.sleep(0.005)

    await asyncio.wait_for(admits(), timeout=30)
    left = await regions.home.left_of("acme")

    assert left.requests <= 100 - BURST + 1


async def test_the_home_tells_the_limits_wherever_it_is_asked(regions: TwoRegions, identity: DevIdentity) -> None:
    """GetLimits in the other region forwards: home region, and what is used there."""
    await regions.admit_one(regions.home)
    stub = usage_grpc.UsageServiceStub(regions.away.channel)
    metadata = (("authorization", f"Bearer {identity.mint('ops', roles=['operator'])}"),)

    response = await stub.GetLimits(usage_pb.GetLimitsRequest(tenant_id="acme"), metadata=metadata, timeout=10)

    assert response.home_region == regions.home_name
    (rate,) = (
        limit
        for limit in response.limits
        if (limit.period, limit.unit) == (quota_pb.LIMIT_PERIOD_RATE, quota_pb.LIMIT_UNIT_REQUESTS)
    )
    assert (rate.burst, rate.used > 0) == (100, True)


async def test_a_tenants_counts_stay_inside_its_jurisdictions(regions: TwoRegions) -> None:
    """us may neither admit nor lease for a tenant of eu."""
    with pytest.raises(ResidencyRouterOutside) as refusal:
        await regions.admit_one(regions.services["us"], tenant_id="gdpr")

    assert refusal.value.metadata["allowedRegions"] == "eu"
    assert (await regions.services["us"].left_of("gdpr")).requests == 0
    assert (await regions.admit_one(regions.services["eu"], tenant_id="gdpr")).requests == 1


async def test_when_the_map_says_the_home_is_down_the_other_region_keeps_the_quota(regions: TwoRegions) -> None:
    """The heir begins with a burst of its own: the documented bound of a change of homes."""
    await regions.until_refused([regions.home])
    name = regions.home_name
    regions.source.put(region(name, name, admission=regions.home.address, state=RegionState.DOWN))

    assert len(await regions.admit(regions.away, 20)) == 20


async def test_a_home_that_cannot_be_reached_leaves_a_local_share(
    regions: TwoRegions,
) -> None:
    """The map does not know yet: half of the tier's part, for two regions, from this replica alone."""
    name = regions.home_name
    regions.source.put(region(name, name, admission="127.0.0.1:1"))
    sources: list[int] = []

    async def local() -> bool:
        try:
            sources.append((await regions.admit_one(regions.away)).source)
        except QuotaExhausted:
            return False
        return sources[-1] == admission_pb.QUOTA_SOURCE_LOCAL

    await _until(local)
    assert len(sources) <= ADVANCE + 100 * 0.5 * 0.5 / 2 + 1


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await holds():  # noqa: ASYNC110 - what is asked has no event to wait for
            await asyncio.sleep(0.05)


async def test_streams_that_are_cut_leave_one_limit(regions: TwoRegions, proxy_to: ProxyTo) -> None:
    """A region whose stream breaks again and again gets no more for it, and goes on with the next one."""
    line = await proxy_to(regions.home.address)
    name = regions.home_name
    regions.source.put(region(name, name, admission=line.address))
    authority = 0
    for _ in range(4):
        permits = await regions.admit(regions.away, 4)
        authority += sum(permit.source == admission_pb.QUOTA_SOURCE_AUTHORITY for permit in permits)
        await line.cut()

    granted = await regions.until_refused([regions.home])

    assert authority + granted <= 100 + ADVANCE + 1
