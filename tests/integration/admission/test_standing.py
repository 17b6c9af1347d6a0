"""The adapter that asks admission for a tenant's standing, against the real service: what it tells, what it costs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import grpc
import pytest
from tests.integration.admission.conftest import Admission

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_lease.standing import WINDOW_S, AdmissionStanding
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, TenantSuspended, TenantUnknown
from trunkline_mesh.request import Principal, RequestScope, enter_request

Ask = Callable[[str], Awaitable[int | None]]


@pytest.fixture
def now_s() -> list[float]:
    """The asker's time, for a test to set."""
    return [0.0]


@pytest.fixture
async def admission(serve: Callable[..., Awaitable[Admission]], valkey_url: str) -> Admission:
    return await serve(valkey_url)


@pytest.fixture
def ask(admission: Admission, now_s: list[float], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Ask with each tenant's own credential, as patiently as a busy machine needs."""
    monkeypatch.setattr("trunkline_lease.standing.ASK_S", 10.0)
    standing = AdmissionStanding(admission.channel, clock=lambda: now_s[0])

    async def asked(tenant_id: str) -> int | None:
        scope = RequestScope("id", 1, "/test", Deadline.after(30), deadline_capped=False)
        token = admission.identity.mint("somebody", tenant=tenant_id)
        scope.principal = Principal("somebody", tenant_id, frozenset(), token, time.time() + 600)
        enter_request(scope)
        return await standing(tenant_id)

    return asked


async def all_of(admission: Admission, tenant_id: str) -> int:
    """Admit requests of one token until the tenant's quota is spent; return how many there were."""
    for count in range(100):
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


async def test_asking_costs_the_tenant_nothing(admission: Admission, ask: Ask, now_s: list[float]) -> None:
    """However often, and over several windows: what was reserved is back at once."""
    for _ in range(3):
        for _ in range(4):
            assert await ask("poor") == 0
        now_s[0] += WINDOW_S
    assert await all_of(admission, "poor") == 20


async def test_who_has_spent_its_quota_is_served(admission: Admission, ask: Ask) -> None:
    """Its rank is not told; it is not refused for that either."""
    assert await all_of(admission, "poor") == 20
    assert await ask("poor") is None
