"""Reports over a real store: counted once, judged alike by all replicas, told back."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.integration.promises.conftest import Replica, Serve, report, spending, world

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_admission.budgets import month_of
from trunkline_admission.levels import Level
from trunkline_map.testing import tenant


def level_in(answer: admission_pb.ReportResponse, tier: str) -> int:
    """Return what an answer tells of a tier."""
    return next(told.level for told in answer.levels if told.tier == tier)


async def total_of(replica: Replica, tier: str) -> tuple[int, int]:
    """Return a tier's calls and errors in the store."""
    answer = await replica.objectives.answer("")
    told = next(each for each in answer.objectives if each.tier and each.name == tier)
    return told.calls, told.errors


async def until_counted(*replicas: Replica) -> None:
    """Wait until nothing waits for the store."""
    for _ in range(3000):
        if not any(len(one.queue) for one in replicas):
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def judged(tier: str, level: Level, send: Callable[[int], Awaitable[object]], *replicas: Replica) -> None:
    """Report and judge until all replicas tell the level: one that was judged just now is not judged again at once."""
    for number in range(2, 200):
        await send(number)
        for one in replicas:
            await one.keeper.tick()
        if all(one.keeper.level_of(tier) is level for one in replicas):
            return
        await asyncio.sleep(0.05)
    raise TimeoutError


async def test_a_report_reaches_the_level_and_the_level_the_next_answer(replica: Serve, valkey_url: str) -> None:
    """A tier that is used up is reduced to emergency; the one above is not touched."""
    one = await replica(valkey_url)
    answer = await one.desk.take(report(1, tier="pro", utilisation=0.95))
    assert level_in(answer, "pro") == Level.NORMAL

    await judged("pro", Level.EMERGENCY, lambda number: one.desk.take(report(number, utilisation=0.95)), one)
    answer = await one.desk.take(report(1000, tier="pro", utilisation=0.95))

    assert level_in(answer, "pro") == Level.EMERGENCY
    assert level_in(answer, "enterprise") == Level.NORMAL
    told = next(each for each in answer.levels if each.tier == "pro")
    assert told.cause == "utilisation"
    assert answer.valid_duration.seconds > 0


async def test_replicas_agree_whoever_got_the_report(replica: Serve, valkey_url: str) -> None:
    """One replica hears of errors, both tell the level."""
    one, other = await replica(valkey_url), await replica(valkey_url)

    await judged(
        "free", Level.EMERGENCY, lambda number: one.desk.take(report(number, tier="free", errors=50)), one, other
    )

    assert one.keeper.states["free"].since_s == other.keeper.states["free"].since_s
    assert other.keeper.routers == 1


async def test_another_regions_costs_come_from_no_router(replica: Serve, valkey_url: str) -> None:
    """They are counted once, and no replica tells their sender among the routers."""
    one, other = await replica(valkey_url), await replica(valkey_url)
    costs = report(1, tenants=(spending("spender", 10),))
    costs.router = "costs.us-1.replica"

    for each in (one, other, one):
        await each.desk.take(costs)
    await until_counted(one, other)

    assert await one.store.spent_micros("spender", month_of("UTC", one.store.clock.now_s()).label) == 10
    assert (await one.store.seen()).routers == 0
    await one.desk.take(report(1))
    await until_counted(one)
    assert (await other.store.seen()).routers == 1


async def test_a_report_is_counted_once_whichever_replicas_it_reaches(replica: Serve, valkey_url: str) -> None:
    """Repeated at the same replica, at another, and at both at once."""
    one, other = await replica(valkey_url), await replica(valkey_url)
    first, second = report(1, errors=3, tenants=(spending("acme", 10),)), report(2, errors=4)

    await one.desk.take(first)
    await one.desk.take(first)
    await other.desk.take(first)
    await asyncio.gather(one.desk.take(second), other.desk.take(second))
    await other.desk.take(first)

    assert await total_of(one, "pro") == (200, 7)
    told = await one.objectives.answer("acme")
    assert [(each.name, each.tier, each.calls) for each in told.objectives] == [("acme", False, 1)]


async def test_what_a_level_refuses_counts_for_the_promise_and_keeps_no_level_up(
    replica: Serve, valkey_url: str
) -> None:
    """All replicas judge by the other errors alone."""
    one, other = await replica(valkey_url), await replica(valkey_url)

    await one.desk.take(report(1, errors=30, limit_errors=29))

    assert await total_of(other, "pro") == (100, 30)
    for each in (one, other):
        evidence = (await each.store.seen()).evidence
        assert evidence is not None
        assert (evidence["pro"].calls, evidence["pro"].errors) == (100, 1)


async def test_many_tenants_are_counted_in_parts_each_once(replica: Serve, valkey_url: str) -> None:
    """A report of many tenants goes in several steps; two replicas that have it at once count it once between them."""
    source = world()
    source.put(*(tenant(f"t{index}", "eu") for index in range(600)))
    one, other = await replica(valkey_url, source), await replica(valkey_url, source)
    largest = report(1, tenants=tuple(spending(f"t{index}", 5) for index in range(1000)))

    await asyncio.gather(one.desk.take(largest), other.desk.take(largest))
    await until_counted(one, other)

    for index in (0, 299, 599):
        assert (await one.objectives.answer(f"t{index}")).objectives[0].calls == 1
    assert await total_of(one, "pro") == (100, 0)


async def test_a_budget_is_warned_of_and_then_spent(replica: Serve, valkey_url: str) -> None:
    """At 80 and 100 % of the tenant's month, by the sum over both replicas."""
    one, other = await replica(valkey_url), await replica(valkey_url)

    fine = await one.desk.take(report(1, tenants=(spending("spender", 700),)))
    warned = await other.desk.take(report(1, router="router-2", tenants=(spending("spender", 100),)))
    spent = await one.desk.take(report(2, tenants=(spending("spender", 200),)))
    still = await other.desk.take(report(2, router="router-2", tenants=(spending("spender", 0),)))

    assert not fine.budgets
    assert [told.state for told in warned.budgets] == [admission_pb.BUDGET_STATE_WARNED]
    assert [told.state for told in spent.budgets] == [admission_pb.BUDGET_STATE_SPENT]
    assert still.budgets[0].used_part == 1.0
    assert still.budgets[0].reset_time.seconds > 0


async def test_tenants_with_an_action_stand_in_the_account_of_all(replica: Serve, valkey_url: str) -> None:
    """After the tiers; those that fail seldom do not."""
    one = await replica(valkey_url)
    rows = (spending("acme", 0, calls=1000, errors=500), spending("small", 0, calls=1000, errors=1))
    await one.desk.take(report(1, tenants=rows))

    answer = await one.objectives.answer("")

    assert [each.name for each in answer.objectives] == ["free", "pro", "enterprise", "acme"]
    assert answer.objectives[-1].action == 4
