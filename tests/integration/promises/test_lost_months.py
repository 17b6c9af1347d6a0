"""A store that loses everything: tenants' months do not begin anew."""

from __future__ import annotations

from redis.asyncio import Redis
from tests.integration.promises.conftest import Replica, Serve, report, spending
from tests.integration.promises.test_reports import until_counted

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import month_of
from trunkline_admission.month_keeper import MonthKeeper
from trunkline_admission.month_sums import MonthSum
from trunkline_admission.report_parts import KnownReport, TenantRow, parts_of
from trunkline_admission.seen import TenantSeen

SPENT = admission_pb.BUDGET_STATE_SPENT


async def empty(url: str, key_prefix: str) -> None:
    """Lose everything that this test's replicas have in the store."""
    async with Redis.from_url(url) as client:
        keys = [key async for key in client.scan_iter(match=f"{key_prefix}:*")]
        await client.delete(*keys)


async def in_store(replica: Replica, tenant_id: str = "spender") -> int:
    """Return what the store says that a tenant's month has cost."""
    return await replica.store.spent_micros(tenant_id, month_of("", replica.store.clock.now_s()).label)


async def test_a_replica_that_knows_gives_the_store_its_months_back(
    replica: Serve, valkey_url: str, key_prefix: str
) -> None:
    """Within one look, unasked; a replica that never heard of the tenant then tells its budget as spent, too."""
    one, other = await replica(valkey_url), await replica(valkey_url)
    keepers = [MonthKeeper(each.store, each.budgets.sums) for each in (one, other)]
    await one.desk.take(report(1, tenants=(spending("spender", 1000),)))
    for keeper in keepers:
        await keeper.tick()

    await empty(valkey_url, key_prefix)
    for keeper in reversed(keepers):
        await keeper.tick()

    assert await in_store(one) == 1000
    month = month_of("", one.store.clock.now_s()).label
    raised = [(await one.store.give_back([MonthSum("spender", month, micros)], ""))[1] for micros in (999, 1000, 1001)]
    assert raised == [0, 0, 1]
    told = await other.desk.take(report(1, router="router-2", tenants=(spending("spender", 0),)))
    assert [each.state for each in told.budgets] == [SPENT]


async def test_costs_after_the_loss_come_on_top(replica: Serve, valkey_url: str, key_prefix: str) -> None:
    """Of the replica that knew; nothing is counted twice, however often it is given back."""
    one = await replica(valkey_url)
    keeper = MonthKeeper(one.store, one.budgets.sums)
    await keeper.tick()
    await one.desk.take(report(1, tenants=(spending("spender", 1000),)))

    await empty(valkey_url, key_prefix)
    still = await one.desk.take(report(2, tenants=(spending("spender", 5),)))
    for _ in range(3):
        await keeper.tick()

    assert [each.state for each in still.budgets] == [SPENT]
    assert await in_store(one) == 1005
    await one.desk.take(report(3, tenants=(spending("spender", 10),)))
    assert await in_store(one) == 1015


async def test_what_routers_told_in_an_outage_is_counted_whichever_replica_is_first(
    replica: Serve, valkey_url: str
) -> None:
    """Routers report to replicas in turn: a later report in the store is no reason to leave out earlier ones."""
    one, other = await replica(valkey_url), await replica(valkey_url)
    row = TenantRow(TenantSeen("spender", 1, 0, 0, 7), month_of("", one.store.clock.now_s()).label)
    for sequence in range(1, 41):
        known = KnownReport("router-1", sequence, (), (row,), fronts=True, down=False, planned=False)
        if sequence in (1, 2):  # what a replica was about to bring when the store went away
            for part in parts_of(known, late=True):
                await (one, other)[sequence % 2].store.count(part)
        else:
            (one, other)[sequence % 2].queue._late.add(known)

    for each in (one, other):
        each.queue.put(KnownReport("router-2", 1, (), (), fronts=True, down=False, planned=False))
        await until_counted(each)

    assert await in_store(one) == 40 * 7
