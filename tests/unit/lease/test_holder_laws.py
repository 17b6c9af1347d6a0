"""Laws of the holder over random histories: spends, refunds, cancellations, broken streams and passing time."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.unit.lease.memory_service import ManualClock, MemoryService, settle
from tests.unit.lease.test_holder import holding

from trunkline_lease import NOTHING, Charge, LeaseHolder, LeaseOptions, Spent, TokenSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, QuotaExhausted

TENANTS = ("a", "b", "c", "d")
OPTIONS = LeaseOptions(
    max_tenants=3, backoff_first_s=0.0001, backoff_max_s=0.001, sweep_interval_s=0.001, refill_timeout_s=5.0
)


class History:
    """What happened to each tenant."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(TENANTS, NOTHING)
        self.spent_full = dict.fromkeys(TENANTS, NOTHING)
        self.refunded = dict.fromkeys(TENANTS, NOTHING)

    async def spend(self, holder: LeaseHolder, tenant: str, charge: Charge) -> Spent | None:
        try:
            spent = await holder.spend(tenant, charge, Deadline.after(30))
        except (QuotaExhausted, Overloaded):
            return None
        self.spent[tenant] += charge
        self.spent_full[tenant] += charge if spent.source is TokenSource.AUTHORITY else NOTHING
        return spent


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_is_spent_that_was_not_granted(seed: int) -> None:
    """For every tenant and currency: spent - refunded <= granted + safe mode's bound; full spends need grants."""
    rng, clock, history = random.Random(seed), ManualClock(), History()
    service = MemoryService(clock, rate=rng.choice([5.0, 100.0, 2000.0]), burst=rng.choice([10.0, 60.0, 500.0]))
    service.requests_rate, service.requests_burst = rng.choice([1.0, 50.0, 500.0]), rng.choice([3.0, 20.0, 100.0])
    service.valid_s = rng.choice([1.0, 5.0])
    started_s = clock.now_s
    spenders: list[asyncio.Future[Spent | None]] = []
    async with holding(service, OPTIONS) as holder:
        for _ in range(300):
            act, tenant = rng.random(), rng.choice(TENANTS)
            if act < 0.7:
                charge = Charge(rng.randint(0, 2), rng.randint(1, 12))
                spenders.append(asyncio.ensure_future(history.spend(holder, tenant, charge)))
            elif act < 0.8:
                wish = Charge(rng.randint(0, 3), rng.randint(0, 20))
                history.refunded[tenant] += holder.refund(tenant, wish)
            elif act < 0.85 and spenders:
                rng.choice(spenders).cancel()
            elif act < 0.9 and service.calls:
                service.go_down() if service.up else setattr(service, "up", True)
            else:
                clock.now_s += rng.choice([0.001, 0.05, 1.0])
            await settle(rng.randint(0, 4))
        service.up = True
        await asyncio.gather(*spenders, return_exceptions=True)

    elapsed_s = clock.now_s - started_s
    for tenant in TENANTS:
        # Every eviction starts a safe share anew, so its bound counts them.
        shares = 1 + holder.stats.evictions
        safe = Charge(
            int(shares * OPTIONS.safe_burst_requests + OPTIONS.safe_requests_per_s * elapsed_s),
            int(shares * OPTIONS.safe_burst_tokens + OPTIONS.safe_tokens_per_s * elapsed_s),
        )
        granted = Charge(service.granted_requests[tenant], service.granted[tenant])
        assert history.refunded[tenant].within(history.spent[tenant])
        assert history.spent_full[tenant].within(granted + history.refunded[tenant])
        assert history.spent[tenant].within(granted + safe + history.refunded[tenant])
        assert Charge(service.returned_requests[tenant], service.returned[tenant]).within(
            granted + history.refunded[tenant]
        )
