"""Laws of the holder over random histories: spends, refunds, cancellations, broken streams and passing time."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.unit.lease.memory_service import ManualClock, MemoryService, settle
from tests.unit.lease.test_holder import holding

from trunkline_lease import LeaseHolder, LeaseOptions, Spent, TokenSource
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import Overloaded, QuotaExhausted

TENANTS = ("a", "b", "c", "d")
OPTIONS = LeaseOptions(
    max_tenants=3, backoff_first_s=0.0001, backoff_max_s=0.001, sweep_interval_s=0.001, refill_timeout_s=5.0
)


class History:
    """What happened to each tenant."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(TENANTS, 0)
        self.spent_full = dict.fromkeys(TENANTS, 0)
        self.refunded = dict.fromkeys(TENANTS, 0)

    async def spend(self, holder: LeaseHolder, tenant: str, tokens: int) -> Spent | None:
        try:
            spent = await holder.spend(tenant, tokens, Deadline.after(30))
        except (QuotaExhausted, Overloaded):
            return None
        self.spent[tenant] += tokens
        self.spent_full[tenant] += tokens if spent.source is TokenSource.AUTHORITY else 0
        return spent


@pytest.mark.parametrize("seed", range(30))
async def test_nothing_is_spent_that_was_not_granted(seed: int) -> None:
    """For every tenant: spent - refunded <= granted + safe mode's bound, and full spends need grants."""
    rng, clock, history = random.Random(seed), ManualClock(), History()
    service = MemoryService(clock, rate=rng.choice([5.0, 100.0, 2000.0]), burst=rng.choice([10.0, 60.0, 500.0]))
    service.valid_s = rng.choice([1.0, 5.0])
    started_s = clock.now_s
    spenders: list[asyncio.Future[Spent | None]] = []
    async with holding(service, OPTIONS) as holder:
        for _ in range(300):
            act, tenant = rng.random(), rng.choice(TENANTS)
            if act < 0.7:
                spenders.append(asyncio.ensure_future(history.spend(holder, tenant, rng.randint(1, 12))))
            elif act < 0.8:
                history.refunded[tenant] += holder.refund(tenant, rng.randint(0, 20))
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
        safe = (1 + holder.stats.evictions) * OPTIONS.safe_burst_tokens + OPTIONS.safe_rate_tokens_per_s * elapsed_s
        assert history.refunded[tenant] <= history.spent[tenant]
        assert history.spent_full[tenant] - history.refunded[tenant] <= service.granted[tenant]
        assert history.spent[tenant] - history.refunded[tenant] <= service.granted[tenant] + safe
        assert service.returned[tenant] <= service.granted[tenant]
