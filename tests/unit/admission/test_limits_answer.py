"""What a tenant is told of its limits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.contract.quota_subject import DAY_S, NOON_S
from tests.sim.lua_store import LuaStore

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_admission.limits_answer import LimitsAnswer
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import QuotaAuthority
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.tenants import TenantQuotas
from trunkline_lease.charge import Charge
from trunkline_map.entries import KeyLimit, LimitOverride, TenantLimits
from trunkline_map.testing import region, static_map, tenant
from trunkline_mesh.errors import TenantUnknown
from trunkline_tiers import default_tiers

ACME = replace(
    tenant("acme", "eu", suspended=True),
    overrides=(LimitOverride(TenantLimits(requests_per_day=70), ends_at_s=NOON_S + 60),),
    shadow_limits=TenantLimits(tokens_per_month=9),
    key_limits=(KeyLimit("ci", requests_per_day=5),),
)
SOURCE = static_map(ACME, region("eu-west", "eu", admission="127.0.0.1:1"))


def clock() -> float:
    return NOON_S


def level_of(tier: str) -> quota_pb.ServiceLevel.ValueType:
    return quota_pb.SERVICE_LEVEL_REDUCED


def answer_over(quotas: QuotaAuthority, tenants: TenantQuotas) -> LimitsAnswer:
    return LimitsAnswer(tenants, quotas, SOURCE, level_of)


async def test_every_limit_is_told_with_its_state() -> None:
    """Tenant's, key's and trial's, what is used, when it begins anew; also of a suspended tenant."""
    tiers = default_tiers()
    tenants = TenantQuotas(SOURCE, tiers, clock)
    quotas = RedisQuota(LuaStore(clock), tiers, key_prefix="t", clock=clock, wall_clock=clock)
    await quotas.take(tenants.told("acme")[1], Charge(3, 15), key="ci")

    answer = await answer_over(quotas, tenants).answer("acme", "ci")

    assert (answer.tenant_id, answer.tier, answer.rank, answer.home_region) == ("acme", "pro", 1, "eu-west")
    assert (answer.source, answer.level) == (admission_pb.QUOTA_SOURCE_AUTHORITY, quota_pb.SERVICE_LEVEL_REDUCED)
    told = {(each.scope, each.period, each.unit, each.shadow): each for each in answer.limits}
    day = told[quota_pb.LIMIT_SCOPE_TENANT, quota_pb.LIMIT_PERIOD_DAY, quota_pb.LIMIT_UNIT_REQUESTS, False]
    assert (day.limit, day.used, day.overridden, day.reset_time.seconds) == (70, 3, True, NOON_S + DAY_S // 2)
    key = told[quota_pb.LIMIT_SCOPE_KEY, quota_pb.LIMIT_PERIOD_DAY, quota_pb.LIMIT_UNIT_REQUESTS, False]
    assert (key.limit, key.used) == (5, 3)
    trial = told[quota_pb.LIMIT_SCOPE_TENANT, quota_pb.LIMIT_PERIOD_MONTH, quota_pb.LIMIT_UNIT_TOKENS, True]
    assert (trial.limit, trial.used) == (9, 15)
    rate = told[quota_pb.LIMIT_SCOPE_TENANT, quota_pb.LIMIT_PERIOD_RATE, quota_pb.LIMIT_UNIT_REQUESTS, False]
    assert (rate.limit, rate.used, rate.burst, rate.HasField("reset_time")) == (200, 3, 400, False)
    await quotas.aclose()


async def test_without_the_store_the_answer_says_that_it_is_local() -> None:
    """A key without limits of its own is told of as the tenant."""
    tenants = TenantQuotas(SOURCE, default_tiers(), clock)

    answer = await answer_over(LocalQuota(replicas=1, max_tenants=9), tenants).answer("acme", "nobody")

    assert answer.source == admission_pb.QUOTA_SOURCE_LOCAL
    assert {each.scope for each in answer.limits} == {quota_pb.LIMIT_SCOPE_TENANT}


async def test_an_unknown_tenant_is_refused() -> None:
    """There is nothing to tell."""
    tenants = TenantQuotas(SOURCE, default_tiers(), clock)

    with pytest.raises(TenantUnknown):
        await answer_over(LocalQuota(replicas=1, max_tenants=9), tenants).answer("nobody", "")
