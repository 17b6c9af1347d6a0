"""UsageService: a tenant's admin reads its own, operators and services all, nobody else anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from trunkline.admission.v1 import usage_service_pb2 as usage_pb
from trunkline_admission.usage_policy import USAGE_POLICY
from trunkline_admission.usage_servicer import UsageServicer
from trunkline_map.entries import TenantEntry
from trunkline_map.testing import static_map, tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import FieldInvalid, MethodNotAllowed, TenantMismatch
from trunkline_mesh.method_policy import Access
from trunkline_mesh.request import Principal, RequestScope, enter_request


class Asked:
    """All four answers; keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    async def answer(self, *wanted: object) -> Any:
        self.asked.append(wanted)
        return None


class Side:
    """The servicer and what it asked."""

    def __init__(self) -> None:
        self.limits, self.usage, self.objectives, self.levels = (Asked() for _ in range(4))
        source = static_map(tenant("acme", "eu"), tenant("zeta", "eu"))
        self.servicer = UsageServicer(self.limits, self.usage, self.objectives, self.levels, source=source)

    def as_(self, *roles: str, of: str | None = None) -> UsageServicer:
        principal = Principal("me", of, frozenset(roles), "", 0.0)
        enter_request(RequestScope("r-1", 1, "/x.Y/Z", Deadline.after(1), deadline_capped=False, principal=principal))
        return self.servicer


@pytest.fixture
async def side() -> Side:
    return Side()


Call = Callable[[UsageServicer, str], Awaitable[object]]
CONTEXT = cast("Any", None)
OF_A_TENANT: list[Call] = [
    lambda servicer, name: servicer.GetLimits(usage_pb.GetLimitsRequest(tenant_id=name), CONTEXT),
    lambda servicer, name: servicer.GetUsage(usage_pb.GetUsageRequest(tenant_id=name), CONTEXT),
    lambda servicer, name: servicer.GetObjectives(usage_pb.GetObjectivesRequest(tenant_id=name), CONTEXT),
]


@pytest.mark.parametrize("call", OF_A_TENANT)
async def test_a_tenants_admin_reads_its_own(side: Side, call: Call) -> None:
    """Named or not; another's it does not."""
    await call(side.as_("admin", of="acme"), "")
    await call(side.as_("admin", of="acme"), "acme")
    assert len(side.limits.asked + side.usage.asked + side.objectives.asked) == 2
    with pytest.raises(TenantMismatch):
        await call(side.as_("admin", of="acme"), "zeta")
    with pytest.raises(TenantMismatch):
        await call(side.as_("admin"), "acme")


@pytest.mark.parametrize("call", OF_A_TENANT)
async def test_who_is_no_admin_reads_nothing(side: Side, call: Call) -> None:
    """Not even its own tenant's."""
    with pytest.raises(MethodNotAllowed):
        await call(side.as_(of="acme"), "acme")


@pytest.mark.parametrize("call", OF_A_TENANT)
@pytest.mark.parametrize("role", ["operator", "service"])
async def test_operators_and_services_read_all(side: Side, call: Call, role: str) -> None:
    """Of the tenant that they name, or act for."""
    await call(side.as_(role), "zeta")
    await call(side.as_(role, of="acme"), "zeta")
    await call(side.as_(role, of="acme"), "acme")
    with pytest.raises(FieldInvalid):
        await call(side.as_(role), "x" * 129)


async def test_who_must_name_a_tenant(side: Side) -> None:
    """Limits and usage are of one; promises may be of all tiers."""
    for call in OF_A_TENANT[:2]:
        with pytest.raises(FieldInvalid):
            await call(side.as_("operator"), "")
    await OF_A_TENANT[2](side.as_("operator"), "")
    assert side.objectives.asked == [("",)]


async def test_a_removed_tenants_usage_is_told(side: Side) -> None:
    """Its bill may still be due."""
    await OF_A_TENANT[1](side.as_("operator"), "gone")
    [(_, entry)] = side.usage.asked
    assert isinstance(entry, TenantEntry)
    assert (entry.tenant_id, entry.time_zone) == ("gone", "")


async def test_levels_are_for_operators_and_services(side: Side) -> None:
    """They tell of everybody's load."""
    for role in ("operator", "service"):
        await side.as_(role).GetLevels(usage_pb.GetLevelsRequest(), CONTEXT)
    assert len(side.levels.asked) == 2
    with pytest.raises(MethodNotAllowed):
        await side.as_("admin", of="acme").GetLevels(usage_pb.GetLevelsRequest(), CONTEXT)


async def test_a_key_is_bounded(side: Side) -> None:
    """As its field says."""
    with pytest.raises(FieldInvalid):
        await side.as_("operator").GetLimits(usage_pb.GetLimitsRequest(tenant_id="acme", key="k" * 129), CONTEXT)
    await side.as_("operator").GetLimits(usage_pb.GetLimitsRequest(tenant_id="acme", key="k"), CONTEXT)
    assert side.limits.asked == [("acme", "k")]


def test_every_method_has_a_policy() -> None:
    """Open to verified callers; whose account it may be, the servicer says."""
    service = usage_pb.DESCRIPTOR.services_by_name["UsageService"]
    assert set(USAGE_POLICY) == {f"/{service.full_name}/{method.name}" for method in service.methods}
    assert {policy.access for policy in USAGE_POLICY.values()} == {Access.AUTHENTICATED}
    assert {(policy.cap_s, policy.floor_s) for policy in USAGE_POLICY.values()} == {(10.0, 0.005)}
