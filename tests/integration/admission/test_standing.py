"""The adapter that asks admission for a tenant's standing, against the real service: what it tells, what it costs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import grpc
import pytest
from tests.integration.admission.conftest import Admission

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease.standing import AdmissionStanding
from trunkline_map.testing import tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, MethodNotAllowed, TenantSuspended, TenantUnknown
from trunkline_mesh.request import Principal, RequestScope, enter_request
from trunkline_mesh.status import from_rpc_error

STANDING_OF_POOR = admission_pb.GetStandingResponse(tier="free", rank=0)
Ask = Callable[[str], Awaitable[int]]


@pytest.fixture
async def admission(serve: Callable[..., Awaitable[Admission]], valkey_url: str) -> Admission:
    return await serve(valkey_url)


@pytest.fixture
def ask(admission: Admission, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask with each tenant's own credential, as patiently as a busy machine needs."""
    monkeypatch.setattr("trunkline_lease.standing.ASK_S", 10.0)
    standing = AdmissionStanding(admission.channel)

    async def asked(tenant_id: str) -> int:
        scope = RequestScope("id", 1, "/test", Deadline.after(30), deadline_capped=False)
        token = admission.identity.mint("somebody", tenant=tenant_id)
        scope.principal = Principal("somebody", tenant_id, frozenset(), token, time.time() + 600)
        enter_request(scope)
        return await standing(tenant_id)

    return asked


async def all_of(admission: Admission, tenant_id: str) -> int:
    """Admit requests of one token until the tenant's quota is spent; return how many there were."""
    for count in range(200):
        try:
            request = admission_pb.AdmitRequest(cost_tokens=1)
            await admission.stub.Admit(request, metadata=admission.as_tenant(tenant_id), timeout=10)
        except grpc.aio.AioRpcError as exc:
            if exc.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            return count
    raise AssertionError("the quota has no end")


async def test_it_tells_the_rank(ask: Ask) -> None:
    """Of the tenant's tier."""
    assert [await ask(name) for name in ("poor", "acme", "rich")] == [0, 1, 2]


@pytest.mark.parametrize(("tenant_id", "refusal"), [("gone", TenantSuspended), ("nobody", TenantUnknown)])
async def test_it_tells_who_is_refused(ask: Ask, tenant_id: str, refusal: type[DomainError]) -> None:
    """By the reason that every other service has."""
    with pytest.raises(refusal):
        await ask(tenant_id)


async def test_asking_costs_the_tenant_nothing(admission: Admission, ask: Ask) -> None:
    """However often: no request and no token is missing, not even for a moment."""
    for _ in range(12):
        assert await ask("poor") == 0
    assert await all_of(admission, "poor") == 20


async def test_who_has_spent_its_quota_keeps_its_rank(admission: Admission, ask: Ask) -> None:
    """It is not refused either: what it calls directly costs no quota."""
    assert await all_of(admission, "acme") == 100
    assert await ask("acme") == 1


async def test_it_is_told_without_the_store(serve: Callable[..., Awaitable[Admission]], no_store: str) -> None:
    """From the map alone: also of a tier that has no share while Redis is away."""
    admission = await serve(no_store)
    metadata = admission.as_tenant("poor")
    request = admission_pb.GetStandingRequest()
    assert await admission.stub.GetStanding(request, metadata=metadata, timeout=10) == STANDING_OF_POOR
    admission.source.put(tenant("poor", "eu", tier="free", suspended=True))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admission.stub.GetStanding(request, metadata=metadata, timeout=10)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED


async def test_only_a_tenants_credential_may_ask(admission: Admission) -> None:
    """Of its own tenant: the request names none."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await admission.stub.GetStanding(admission_pb.GetStandingRequest(), metadata=admission.as_router(), timeout=10)
    error = from_rpc_error(caught.value)
    assert isinstance(error, MethodNotAllowed)
