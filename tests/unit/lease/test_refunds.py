"""Where refunds go: to the one who granted, or to the safe share that nobody granted."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace

import pytest
from tests.unit.lease.memory_service import ManualClock, MemoryService, eventually, one, settle
from tests.unit.lease.test_holder import OPTIONS, holding, soon

from trunkline_lease import NOTHING, Charge, LeaseHolder, LeaseOptions, Spent
from trunkline_mesh.errors import Overloaded, QuotaExhausted

NO_RATE = replace(OPTIONS, safe_requests_per_s=0.0, safe_tokens_per_s=0.0)


async def into_safe_mode(holder: LeaseHolder, service: MemoryService, clock: ManualClock) -> None:
    """Take the service away until all that it granted is void."""
    service.go_down()
    clock.now_s += service.valid_s + 1
    await eventually(lambda: not holder.healthy)


@pytest.mark.parametrize("told", [True, False])
async def test_safe_spends_that_were_not_used_come_back_to_the_safe_share(told: bool) -> None:
    """As often as they do, also to a tenant that has spent from leases before; no more than was spent."""
    clock = ManualClock()
    service = MemoryService(clock)
    async with holding(service, NO_RATE) as holder:
        for _ in range(30):
            await holder.spend("acme", one(1), soon())
        await into_safe_mode(holder, service, clock)
        for _ in range(100):
            spent = await holder.spend("acme", one(2), soon())
            assert spent.safe
            assert holder.refund("acme", one(2), spent=spent if told else None) == one(2)
        for _ in range(NO_RATE.safe_burst_requests):
            spent = await holder.spend("acme", one(1), soon())
        with pytest.raises(Overloaded):
            await holder.spend("acme", one(1), soon())
        assert holder.refund("acme", Charge(1000, 0), spent=spent) == Charge(NO_RATE.safe_burst_requests, 0)


@pytest.mark.parametrize("told", [True, False])
async def test_refunds_of_safe_spends_never_reach_the_service(told: bool) -> None:
    """Not even when it is back and its lease would take them: it has not granted them."""
    clock = ManualClock()
    service = MemoryService(clock)
    async with holding(service, NO_RATE) as holder:
        for _ in range(30):
            granted = await holder.spend("acme", one(1), soon())
        await into_safe_mode(holder, service, clock)
        safe = await holder.spend("acme", one(3), soon())
        service.up = True
        await eventually(lambda: holder.healthy)
        before = service.returned["acme"]

        assert holder.refund("acme", one(3), spent=safe if told else None) == one(3)
        await settle()
        assert service.returned["acme"] == before
        assert holder.refund("acme", one(1), spent=granted if told else None) == one(1)
        await eventually(lambda: service.returned["acme"] == before + 1)


@dataclass
class Book:
    """What one tenant has spent and got back, from one kind of source."""

    spent: Charge = NOTHING
    refunded: Charge = NOTHING


@pytest.mark.parametrize("seed", range(20))
async def test_nobody_gets_back_more_than_was_spent_where_it_was_spent(seed: int) -> None:
    """In any order of spends, refunds, breaks and reconnects; and whatever was spent may come back."""
    rng, clock = random.Random(seed), ManualClock()
    service = MemoryService(clock, rate=rng.choice([5.0, 500.0]), burst=rng.choice([20.0, 500.0]))
    service.valid_s = rng.choice([0.5, 5.0])
    books: defaultdict[tuple[str, bool], Book] = defaultdict(Book)
    open_spends: list[tuple[str, Spent, Charge]] = []
    options = LeaseOptions(
        backoff_first_s=0.0001, backoff_max_s=0.001, sweep_interval_s=0.001, refill_timeout_s=5.0, safe_burst_requests=9
    )
    async with holding(service, options) as holder:
        for _ in range(300):
            act, tenant_id = rng.random(), rng.choice(("a", "b"))
            if act < 0.5:
                charge = Charge(1, rng.randint(0, 5))
                try:
                    spent = await holder.spend(tenant_id, charge, soon())
                except (QuotaExhausted, Overloaded):
                    continue
                books[tenant_id, spent.safe].spent += charge
                open_spends.append((tenant_id, spent, charge))
            elif act < 0.8 and open_spends:
                tenant_id, spent, charge = open_spends.pop(rng.randrange(len(open_spends)))
                unused = Charge(rng.randint(0, 1), rng.randint(0, charge.tokens))
                accepted = holder.refund(tenant_id, unused, spent=spent)
                assert accepted == unused
                books[tenant_id, spent.safe].refunded += accepted
            elif act < 0.88 and service.calls:
                service.go_down() if service.up else setattr(service, "up", True)
                await eventually(lambda: holder.healthy == service.up)
            else:
                clock.now_s += rng.choice([0.001, 0.05, 1.0])
            await settle(rng.randint(0, 4))
        service.up = True
        await eventually(lambda: holder.healthy)
        for tenant_id, spent, charge in open_spends[::2]:
            books[tenant_id, spent.safe].refunded += holder.refund(tenant_id, charge, spent=spent)

    for tenant_id in ("a", "b"):
        for safe in (True, False):
            assert books[tenant_id, safe].refunded.within(books[tenant_id, safe].spent)
        lasting = books[tenant_id, False].spent.less(books[tenant_id, False].refunded)
        returned = Charge(service.returned_requests[tenant_id], service.returned[tenant_id])
        granted = Charge(service.granted_requests[tenant_id], service.granted[tenant_id])
        assert (lasting + returned).within(granted), "what the service got back was not spent of what it granted"
