"""Whatever is repeated, by whom and in which order: a report is counted once, or not at all where it came too late."""

from __future__ import annotations

import asyncio
import random

import pytest
from tests.integration.promises.conftest import Replica, Serve

from trunkline_admission.report_parts import KnownReport, Part, TenantRow, parts_of
from trunkline_admission.seen import TenantSeen, TierSeen

ROUTERS = 4
REPORTS = 6
TENANTS = 250
"""Three parts a report."""


def known(router: int, sequence: int) -> KnownReport:
    """Return a report of all tenants."""
    rows = tuple(TenantRow(TenantSeen(f"t{index}", 1, 0, 0, 2), "0") for index in range(TENANTS))
    return KnownReport(f"router-{router}", sequence, (TierSeen("pro", 10, 1, 0, (10,), 0.5),), rows, True, False, False)


async def send(replicas: list[Replica], router: int, rng: random.Random) -> int:
    """Send a router's reports in order, each to several replicas at once or again; return the parts counted."""
    counted = 0
    for sequence in range(1, REPORTS + 1):
        report = known(router, sequence)

        async def bring(replica: Replica, report: KnownReport = report) -> int:
            found = 0
            for part in parts_of(report, late=False):
                found += (await replica.store.count(part)).counted
            return found

        for _ in range(rng.randint(1, 2)):
            asked = rng.sample(replicas, rng.randint(1, len(replicas)))
            counted += sum(await asyncio.gather(*(bring(replica) for replica in asked)))
    return counted


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_each_report_is_counted_once(replica: Serve, valkey_url: str, seed: int) -> None:
    """Over replicas that race for it, for each tier and each tenant."""
    rng = random.Random(seed)
    replicas = [await replica(valkey_url) for _ in range(2)]

    counted = await asyncio.gather(*(send(replicas, router, rng) for router in range(ROUTERS)))

    assert counted == [REPORTS * 3] * ROUTERS
    accounts = await replicas[0].store.accounts(tiers=["pro"], tenants=[f"t{index}" for index in range(TENANTS)])
    totals = [sum(tally.calls for tally in account.hours.values()) for account in accounts.accounts]
    assert totals == [ROUTERS * REPORTS * 10] + [ROUTERS * REPORTS] * TENANTS


async def test_an_earlier_report_is_not_counted_after_a_later_one(replica: Serve, valkey_url: str) -> None:
    """Nor a part without those before it: its report will come again from the beginning."""
    one = await replica(valkey_url)
    first, second = (list(parts_of(known(0, sequence), late=False)) for sequence in (1, 2))

    async def counted(part: Part) -> bool:
        return (await one.store.count(part)).counted

    assert not await counted(first[1])
    assert await counted(first[0])
    assert not await counted(first[2])
    assert await counted(second[0])
    assert not await counted(first[1])
    assert await counted(second[1])
