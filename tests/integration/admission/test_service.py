"""Admit, Settle and Lease over real gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tests.integration.admission.conftest import Admission, Serve

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import Charge, LeaseOptions, TokenSource, open_lease_holder
from trunkline_lease.settler import open_settler
from trunkline_map.testing import static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import (
    CredentialMissing,
    DomainError,
    FieldInvalid,
    MethodNotAllowed,
    PermitExpired,
    PermitUnknown,
    QuotaExhausted,
    RequestIdReused,
    StaleMap,
    TenantMismatch,
    TenantSuspended,
    TenantUnknown,
)
from trunkline_mesh.status import from_rpc_error


@pytest.fixture
async def admission(serve: Serve, valkey_url: str) -> Admission:
    return await serve(valkey_url)


async def refusal(call: Awaitable[Any]) -> DomainError:
    """Return the domain error that a call was refused with."""
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    error = from_rpc_error(refused.value)
    assert error is not None
    return error


async def admit(admission: Admission, tenant_id: str, cost: int, request_id: str = "") -> admission_pb.Permit:
    request = admission_pb.AdmitRequest(cost_tokens=cost)
    response = await admission.stub.Admit(request, metadata=admission.as_tenant(tenant_id, request_id), timeout=10)
    return response.permit


async def settle(admission: Admission, tenant_id: str, permit_id: str, charged: int) -> int:
    request = admission_pb.SettleRequest(permit_id=permit_id, charged_tokens=charged)
    response = await admission.stub.Settle(request, metadata=admission.as_tenant(tenant_id), timeout=10)
    return response.refunded_tokens


async def lease(
    admission: Admission, *wishes: admission_pb.LeaseRequest, metadata: Sequence[tuple[str, str]] | None = None
) -> list[admission_pb.LeaseResponse]:
    """Send wishes on one stream and return all answers."""

    async def requests() -> AsyncIterator[admission_pb.LeaseRequest]:
        for wish in wishes:
            yield wish

    call = admission.stub.Lease(requests(), metadata=metadata or admission.as_router(), timeout=10)
    return [response async for response in call]


def wish(tenant_id: str, wanted: int, returned: int = 0) -> admission_pb.LeaseRequest:
    return admission_pb.LeaseRequest(tenant_id=tenant_id, wanted_tokens=wanted, returned_tokens=returned)


async def test_a_permit_says_what_was_reserved(admission: Admission) -> None:
    """Rank, tokens, source, replica and expiry come with it."""
    permit = await admit(admission, "acme", 7)

    assert (permit.rank, permit.reserved_tokens, permit.requests) == (1, 7, 1)
    assert permit.source == admission_pb.QUOTA_SOURCE_AUTHORITY
    assert permit.replica
    assert 0 < permit.expire_time.ToSeconds() - time.time() <= 61


async def test_a_repeated_request_is_charged_once(admission: Admission) -> None:
    """The same request id gets the same permit; with another cost it is refused."""
    first = await admit(admission, "acme", 60, "r-1")

    assert await admit(admission, "acme", 60, "r-1") == first
    assert (await admit(admission, "acme", 40, "r-2")).permit_id != first.permit_id
    assert isinstance(await refusal(admit(admission, "acme", 5, "r-1")), RequestIdReused)


async def test_an_exhausted_quota_says_when_to_come_back(admission: Admission) -> None:
    """RESOURCE_EXHAUSTED with RetryInfo: 5 tokens at 0.01 a second."""
    await admit(admission, "acme", 98)

    error = await refusal(admit(admission, "acme", 7))

    assert isinstance(error, QuotaExhausted)
    assert error.retry_delay_s == pytest.approx(500, abs=10)
    assert error.metadata == {"scope": "tenant", "period": "rate", "unit": "tokens"}


async def test_a_cost_that_never_fits_is_not_told_to_come_back(admission: Admission) -> None:
    """More than the bucket ever holds: the most that fits instead of RetryInfo, in Admit and in a lease's wish."""
    for _ in range(2):
        error = await refusal(admit(admission, "acme", 101))
        assert isinstance(error, QuotaExhausted)
        assert error.retry_delay_s is None
        assert error.metadata == {"scope": "tenant", "period": "rate", "unit": "tokens", "limit": "100"}
    await admit(admission, "acme", 100)

    fits, above = await lease(admission, wish("acme", 100), wish("acme", 101))

    assert fits.retry_delay.ToSeconds() == pytest.approx(10_000, abs=100)
    assert not above.HasField("retry_delay")
    assert above.refused_unit == quota_pb.LIMIT_UNIT_TOKENS


async def test_settling_gives_back_once(admission: Admission) -> None:
    """What was not used is there again; repeating the settlement changes nothing."""
    permit = await admit(admission, "acme", 100)

    assert [await settle(admission, "acme", permit.permit_id, 40) for _ in range(2)] == [60, 60]
    assert (await admit(admission, "acme", 60)).reserved_tokens == 60
    assert isinstance(await refusal(settle(admission, "acme", permit.permit_id, 41)), PermitUnknown)


async def test_a_cancelled_request_is_not_counted(admission: Admission) -> None:
    """Work that was not begun gives its request back, too."""
    permits = [await admit(admission, "poor", 1) for _ in range(20)]
    assert isinstance(await refusal(admit(admission, "poor", 1)), QuotaExhausted)

    request = admission_pb.SettleRequest(permit_id=permits[0].permit_id, charged_tokens=0, cancelled=True)
    await admission.stub.Settle(request, metadata=admission.as_tenant("poor"), timeout=10)

    assert (await admit(admission, "poor", 1)).requests == 1


async def test_a_batch_settles_each_on_its_own(admission: Admission) -> None:
    """Good ones are settled, the others say why not, in order."""
    one, other = await admit(admission, "acme", 10), await admit(admission, "rich", 10)
    request = admission_pb.SettleBatchRequest(
        settlements=[
            admission_pb.SettleRequest(permit_id=one.permit_id, charged_tokens=4),
            admission_pb.SettleRequest(permit_id=other.permit_id, charged_tokens=4),
            admission_pb.SettleRequest(permit_id=one.permit_id, charged_tokens=4),
            admission_pb.SettleRequest(permit_id=one.permit_id, charged_tokens=5),
        ]
    )

    response = await admission.stub.SettleBatch(request, metadata=admission.as_tenant("acme"), timeout=10)

    unknown = reasons_pb.ERROR_REASON_PERMIT_UNKNOWN
    assert [(each.refunded_tokens, each.error) for each in response.outcomes] == [
        (6, 0),
        (0, unknown),
        (6, 0),
        (0, unknown),
    ]


@pytest.mark.parametrize("count", [0, 501])
async def test_a_batch_is_bounded(admission: Admission, count: int) -> None:
    """1 to 500 settlements, each within its own bounds."""
    settlements = [admission_pb.SettleRequest(permit_id="x") for _ in range(count)]
    request = admission_pb.SettleBatchRequest(settlements=settlements)

    error = await refusal(admission.stub.SettleBatch(request, metadata=admission.as_tenant("acme"), timeout=10))

    assert isinstance(error, FieldInvalid)
    assert [violation.field for violation in error.violations] == ["settlements"]


async def test_an_orphaned_permit_expires_and_returns_what_it_reserved(serve: Serve, valkey_url: str) -> None:
    """Nobody settles it: its quota is there again, at the store, too; settling it then says so."""
    admission = await serve(valkey_url, permit_ttl_s=0.2, lease_valid_s=0.4)
    permit = await admit(admission, "acme", 90)

    async with asyncio.timeout(10):
        while True:
            left = await admission.left_of("acme")
            if left.tokens >= 90:
                break
            await lease(admission, _back(left), metadata=admission.as_router("auditor"))
            await asyncio.sleep(0.05)

    assert isinstance(await refusal(settle(admission, "acme", permit.permit_id, 0)), PermitExpired)


def _back(charge: Charge) -> admission_pb.LeaseRequest:
    return admission_pb.LeaseRequest(tenant_id="acme", returned_tokens=charge.tokens, returned_requests=charge.requests)


async def test_a_settler_ends_permits_in_the_background(admission: Admission) -> None:
    """A caller without a lease settles in batches, and what waits at its end is sent."""
    permits = [await admit(admission, "rich", 10) for _ in range(30)]

    async with open_settler(admission.channel, credential=lambda: admission.as_tenant("rich")) as settler:
        for permit in permits:
            assert settler.settle(permit.permit_id, 4)

    assert (settler.stats.settled, settler.stats.dropped) == (30, 0)
    assert await settle(admission, "rich", permits[-1].permit_id, 4) == 6


async def test_a_permit_is_its_tenants_alone(admission: Admission) -> None:
    """Nobody settles another tenant's permit, and unknown ones are unknown."""
    permit = await admit(admission, "acme", 10)

    assert isinstance(await refusal(settle(admission, "rich", permit.permit_id, 0)), PermitUnknown)
    assert isinstance(await refusal(settle(admission, "acme", "no such permit", 0)), PermitUnknown)


async def test_the_tenant_comes_from_the_credential(admission: Admission) -> None:
    """Without one, with another's name, unknown and suspended: each its own reason."""
    request = admission_pb.AdmitRequest(cost_tokens=1)
    named = admission_pb.AdmitRequest(cost_tokens=1, tenant_id="rich")

    assert isinstance(await refusal(admission.stub.Admit(request, timeout=10)), CredentialMissing)
    call = admission.stub.Admit(named, metadata=admission.as_tenant("acme"), timeout=10)
    assert isinstance(await refusal(call), TenantMismatch)
    assert isinstance(await refusal(admit(admission, "nobody", 1)), TenantUnknown)
    assert isinstance(await refusal(admit(admission, "gone", 1)), TenantSuspended)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (admission_pb.AdmitRequest(cost_tokens=0), "cost_tokens"),
        (admission_pb.AdmitRequest(cost_tokens=-5), "cost_tokens"),
        (admission_pb.AdmitRequest(cost_tokens=10_001), "cost_tokens"),
        (admission_pb.AdmitRequest(cost_tokens=1, requests=-1), "requests"),
        (admission_pb.AdmitRequest(cost_tokens=1, requests=65), "requests"),
        (admission_pb.AdmitRequest(cost_tokens=1, map_token=b"x" * 65), "map_token"),
        (admission_pb.SettleRequest(permit_id="", charged_tokens=1), "permit_id"),
        (admission_pb.SettleRequest(permit_id="x" * 129, charged_tokens=1), "permit_id"),
        (admission_pb.SettleRequest(permit_id="x", charged_tokens=-1), "charged_tokens"),
    ],
)
async def test_fields_out_of_bounds_are_named(
    admission: Admission, request_: admission_pb.AdmitRequest | admission_pb.SettleRequest, field: str
) -> None:
    """The contract's bounds are checked before anything else is done."""
    metadata = admission.as_tenant("acme")
    if isinstance(request_, admission_pb.AdmitRequest):
        error = await refusal(admission.stub.Admit(request_, metadata=metadata, timeout=10))
    else:
        error = await refusal(admission.stub.Settle(request_, metadata=metadata, timeout=10))

    assert isinstance(error, FieldInvalid)
    assert [violation.field for violation in error.violations] == [field]


async def test_a_map_token_that_is_ahead_is_waited_for_and_then_refused(admission: Admission) -> None:
    """The service never answers from the older map."""
    ahead = static_map(revision=admission.source.snapshot.revision + 1).snapshot.token
    request = admission_pb.AdmitRequest(cost_tokens=1, map_token=ahead)
    metadata = admission.as_tenant("acme")

    assert isinstance(await refusal(admission.stub.Admit(request, metadata=metadata, timeout=1.0)), StaleMap)

    waiting = asyncio.ensure_future(_permit(admission.stub.Admit(request, metadata=metadata, timeout=10)))
    admission.source.put(tenant("new", "eu"))
    assert (await waiting).reserved_tokens == 1


async def _permit(call: Awaitable[admission_pb.AdmitResponse]) -> admission_pb.Permit:
    return (await call).permit


async def test_leases_are_answered_in_order(admission: Admission) -> None:
    """One answer for each wish; a refusal is an answer without tokens."""
    wishes = [wish("acme", 60), wish("nobody", 5), wish("rich", 70), wish("acme", 60), wish("acme", 1), wish("gone", 1)]

    answers = await lease(admission, *wishes)

    assert [answer.tenant_id for answer in answers] == [one.tenant_id for one in wishes]
    assert [answer.granted_tokens for answer in answers] == [60, 0, 70, 40, 0, 0]
    assert [answer.HasField("retry_delay") for answer in answers] == [False, True, False, False, True, True]
    assert [answer.HasField("valid_duration") for answer in answers] == [True, False, True, True, False, False]
    assert (answers[0].rank, answers[2].rank) == (1, 2)


async def test_leased_tokens_can_be_returned_on_a_later_stream(admission: Admission) -> None:
    """A router that reconnects gives back what it holds, once."""
    await lease(admission, wish("acme", 100))

    answers = await lease(admission, wish("acme", 0, 30), wish("acme", 100), wish("acme", 100, 10_000))

    assert [answer.granted_tokens for answer in answers] == [0, 30, 100]


async def test_many_wishes_at_once_never_get_more_than_the_quota(admission: Admission) -> None:
    """Streams of several routers share the tenant's bucket."""
    streams = (
        lease(admission, *(wish("acme", 3) for _ in range(40)), metadata=admission.as_router(f"router-{number}"))
        for number in range(4)
    )

    answers = [answer for stream in await asyncio.gather(*streams) for answer in stream]

    assert len(answers) == 160
    assert sum(answer.granted_tokens for answer in answers) == 100


async def test_leases_are_for_services_only(admission: Admission) -> None:
    """A tenant's credential is refused, also one of an admin."""
    for metadata in (
        admission.as_tenant("acme"),
        (("authorization", f"Bearer {admission.identity.mint('x', tenant='acme', roles=['admin'])}"),),
    ):
        # Without a wish: gRPC may reset a stream on which the refused caller still writes, and the reason with it.
        assert isinstance(await refusal(lease(admission, metadata=metadata)), MethodNotAllowed)


@pytest.mark.parametrize(
    "bad",
    [
        wish("", 1),
        wish("acme", -1),
        wish("acme", 10_001),
        wish("acme", 0, -1),
        admission_pb.LeaseRequest(tenant_id="acme", wanted_requests=-1),
        admission_pb.LeaseRequest(tenant_id="acme", advanced_tokens=10_001),
        admission_pb.LeaseRequest(tenant_id="acme", wanted_tokens=1, key="x" * 129),
    ],
)
async def test_a_wish_out_of_bounds_ends_the_stream(admission: Admission, bad: admission_pb.LeaseRequest) -> None:
    """That is a defect of the router, and named."""
    assert isinstance(await refusal(lease(admission, wish("acme", 1), bad)), FieldInvalid)


async def test_without_a_store_the_share_of_the_tier_is_granted(serve: Serve, no_store: str) -> None:
    """acme: half of its half of 100; rich: half of its 5000; poor: nothing. The source says so."""
    admission = await serve(no_store)

    permit = await admit(admission, "acme", 20)
    answers = await lease(admission, wish("acme", 100), wish("rich", 10_000), wish("poor", 1))

    assert permit.source == admission_pb.QUOTA_SOURCE_LOCAL
    assert 0 <= answers[0].granted_tokens <= 5
    assert 2500 <= answers[1].granted_tokens <= 2600
    assert answers[2].granted_tokens == 0
    assert {answer.source for answer in answers} == {admission_pb.QUOTA_SOURCE_LOCAL}
    assert await settle(admission, "acme", permit.permit_id, 15) == 5
    assert isinstance(await refusal(admit(admission, "poor", 1)), QuotaExhausted)


@pytest.mark.parametrize("tokens", [30, 60])
async def test_without_a_store_a_router_is_told_what_never_fits(serve: Serve, no_store: str, tokens: int) -> None:
    """acme's share holds 25 tokens. Of 30 the router is granted 25, and the rest alone would fit: it is refused too."""
    admission = await serve(no_store)
    options = LeaseOptions(refill_timeout_s=10.0)
    async with open_lease_holder(admission.channel, credential=admission.as_router, options=options) as holder:
        for _ in range(2):
            with pytest.raises(QuotaExhausted) as caught:
                await holder.spend("acme", Charge(1, tokens), Deadline.after(30))
            assert caught.value.retry_delay_s is None
            assert caught.value.metadata == {"scope": "tenant", "period": "rate", "unit": "tokens", "limit": "25"}
        assert (await holder.spend("acme", Charge(1, 20), Deadline.after(30))).source is TokenSource.LOCAL


async def test_losing_the_store_is_not_losing_the_service(serve: Serve, no_store: str) -> None:
    """Health tells the store's state under its own name, and stays SERVING without it."""
    admission = await serve(no_store)
    health = health_pb2_grpc.HealthStub(admission.channel)
    for _ in range(4):
        await admit(admission, "rich", 1)

    async def status(name: str) -> int:
        return int((await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)).status)

    async with asyncio.timeout(10):
        while await status("dependency/redis") == health_pb2.HealthCheckResponse.SERVING:
            await admit(admission, "rich", 1)
            await asyncio.sleep(0.02)

    assert await status("") == health_pb2.HealthCheckResponse.SERVING
    assert await status("dependency/map") == health_pb2.HealthCheckResponse.SERVING
