"""What never fits into a tenant's limits is refused without a time to come back, and with the most that fits."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.lease.memory_service import ManualClock, MemoryService, eventually, one, settle
from tests.unit.lease.test_holder import FULL, OPTIONS, soon

from trunkline.common.v1 import quota_pb2 as quota_pb
from trunkline_lease import Bound, Charge, Refused, SafeLimits, SafeRate
from trunkline_lease.limit_bounds import never_fits, within
from trunkline_mesh.background import background
from trunkline_mesh.errors import Overloaded, QuotaExhausted

TENANT, RATE = quota_pb.LIMIT_SCOPE_TENANT, quota_pb.LIMIT_PERIOD_RATE
REQUESTS, TOKENS = quota_pb.LIMIT_UNIT_REQUESTS, quota_pb.LIMIT_UNIT_TOKENS
BOUNDS = (
    Bound(4, TENANT, RATE, REQUESTS),
    Bound(50, TENANT, RATE, TOKENS),
    Bound(40, TENANT, quota_pb.LIMIT_PERIOD_DAY, TOKENS),
)


def test_the_tightest_bound_that_is_exceeded_is_told() -> None:
    """What is exactly as large fits."""
    assert never_fits(BOUNDS, Charge(4, 40)) is None
    assert never_fits(BOUNDS, Charge(5, 40)) == Refused(None, TENANT, RATE, REQUESTS, 4)
    assert never_fits(BOUNDS, Charge(1, 60)) == Refused(None, TENANT, quota_pb.LIMIT_PERIOD_DAY, TOKENS, 40)
    assert within(BOUNDS, Charge(100, 100)) == Charge(4, 40)


def test_a_refusal_is_for_ever_only_for_those_who_want_more_than_there_ever_is() -> None:
    """Another one keeps its delay; the bound is told where there is none."""
    refused = Refused(2.0, TENANT, RATE, TOKENS, 40)
    assert refused.of(Charge(100, 40)) == refused
    error = refused.of(Charge(1, 41)).error()
    assert (error.retry_delay_s, error.metadata["limit"]) == (None, "40")
    assert "limit" not in refused.error().metadata


async def test_what_never_fits_is_refused_without_asking_and_the_rest_asked_for_within_it() -> None:
    """However often it is tried; what fits is served."""
    service = MemoryService(ManualClock(), burst=50.0)
    holder = service.holder(OPTIONS, bounds_of=lambda _tenant, _key: BOUNDS)
    async with background(holder.run()):
        for _ in range(3):
            with pytest.raises(QuotaExhausted) as refusal:
                await holder.spend("acme", one(41), soon())
            told = refusal.value
            assert told.retry_delay_s is None
            assert dict(told.metadata) == {"scope": "tenant", "period": "day", "unit": "tokens", "limit": "40"}
        assert service.requests == []
        assert await holder.spend("acme", one(40), soon()) == FULL
        for _ in range(20):
            holder.try_spend("acme", one(2))
            await settle()
        assert all(ask.wanted_tokens <= 40 and ask.wanted_requests <= 4 for ask in service.requests)
        holder.return_all()
        await settle()


async def test_what_exceeds_the_safe_share_is_not_told_to_come_back() -> None:
    """The most that the share ever has is told instead; what fits gets a delay as before."""
    clock = ManualClock()
    service = MemoryService(clock)
    service.up = False
    limits = SafeLimits((SafeRate(1, 3), SafeRate(1, 2)), (SafeRate(1, 26.5),))
    options = replace(OPTIONS, refill_timeout_s=0.12)
    holder = service.holder(options, lambda _tenant, _key: limits)
    async with background(holder.run()):
        await eventually(lambda: not holder.healthy)
        for charge, unit, limit in ((Charge(1, 256), "tokens", "26"), (Charge(3, 1), "requests", "2")):
            with pytest.raises(Overloaded) as refusal:
                await holder.spend("acme", charge, soon())
            assert refusal.value.retry_delay_s is None
            assert dict(refusal.value.metadata) == {"scope": "tenant", "unit": unit, "limit": limit}
        assert (await holder.spend("acme", Charge(2, 26), soon())).safe
        with pytest.raises(Overloaded) as refusal:
            await holder.spend("acme", Charge(2, 26), soon())
        assert refusal.value.retry_delay_s == options.refill_timeout_s
        holder.return_all()
