"""Reports in an outage of the store: added up, and told when it is back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from tests.unit.promises.away import Alone, report

from trunkline_admission import late_reports, report_desk, report_queue
from trunkline_admission.late_reports import MAX_AGE_S, LateReports
from trunkline_admission.report_parts import KnownReport, TenantRow
from trunkline_admission.seen import TenantSeen, TierSeen
from trunkline_mesh.background import background


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the store, and it is asked again at once."""
    monkeypatch.setattr(report_desk, "STORE_WAIT_S", 0.0)
    monkeypatch.setattr(report_queue, "RETRY_S", 0.0)


def known(tenants: int, cost_micros: int = 5, home: str = "", router: str = "r") -> KnownReport:
    """Return a report of so many tenants."""
    rows = tuple(TenantRow(TenantSeen(f"t{index}", 2, 1, 0, cost_micros), "m", home) for index in range(tenants))
    tiers = (TierSeen("pro", 10, 1, 0, (3, 7), 0.5), TierSeen("free", 1, 0, 0, (1,), 0.1))
    return KnownReport(router, 1, tiers, rows, fronts=True, down=False, planned=False)


def test_reports_of_all_routers_become_one() -> None:
    """Calls and costs are added by tier, tenant, and the home region that is to be told."""
    late = LateReports()
    for router in ("a", "b", "c"):
        late.add(known(2, router=router))
    late.add(known(1, home="us-1"))

    told = late.take()

    assert told is not None
    assert [(tier.tier, tier.calls, tier.errors, tier.latency_counts[:2]) for tier in told.tiers] == [
        ("pro", 40, 4, (12, 28)),
        ("free", 4, 0, (4,)),
    ]
    assert [(row.seen.tenant_id, row.home, row.seen.calls, row.seen.cost_micros) for row in told.rows] == [
        ("t0", "", 6, 15),
        ("t1", "", 6, 15),
        ("t0", "us-1", 2, 5),
    ]
    assert not told.fronts
    assert late.take() is None


def test_sums_have_numbers_of_their_own() -> None:
    """So that none is taken for the one before."""
    late, numbers = LateReports(), []
    for _ in range(3):
        late.add(known(1))
        told = late.take()
        assert told is not None
        numbers.append((told.router, told.sequence))

    assert [number for _, number in numbers] == [1, 2, 3]
    assert len({name for name, _ in numbers}) == 1


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tenants for whom there is no room are dropped; those that are there go on."""
    monkeypatch.setattr(late_reports, "MAX_ROWS", 3)
    late = LateReports()
    assert late.add(known(3))
    assert not late.add(known(5))
    told = late.take()
    assert told is not None
    assert [row.seen.cost_micros for row in told.rows] == [10, 10, 10]


def test_costs_stay_and_old_calls_do_not() -> None:
    """Accounts go by the hour in which they are counted; a month is longer."""
    now_s = 0.0
    late = LateReports(lambda: now_s)
    late.add(known(1))
    now_s = MAX_AGE_S + 1
    late.add(known(1, cost_micros=1))
    told = late.take()

    assert told is not None
    assert [(row.seen.calls, row.seen.cost_micros) for row in told.rows] == [(2, 6)]
    assert told.tiers[0].calls == 10


async def test_an_outage_of_an_hour_loses_no_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three routers report every ten seconds, in bounded memory: when the store is back all is counted and told."""
    alone, counted = Alone("eu-2"), dict[str, int]()

    async def count(script: str, keys: object, args: tuple[str]) -> object:
        part = json.loads(args[0])
        for row in part["tenants"]:
            counted[row["name"]] = counted.get(row["name"], 0) + row["cost_micros"]
        return [1, int(alone.now_s * 1000), [counted[row["name"]] for row in part["tenants"]]]

    async with background(alone.queue.run()):
        for number in range(1, 361):
            alone.now_s += 10
            for router in ("a", "b", "c"):
                await alone.desk.take(report(number, ("spender", 2), ("acme", 1), router=router))
            await turns(lambda: len(alone.queue) <= 2)
        assert REGISTRY.get_sample_value("trunkline_admission_reports_waiting") == 3 * 360
        monkeypatch.setattr(alone.away, "run", count)
        await turns(lambda: not len(alone.queue))

    assert REGISTRY.get_sample_value("trunkline_admission_reports_waiting") == 0
    assert counted == {"spender": 2 * 3 * 360, "acme": 3 * 360}
    assert sum(micros for _, tenant, micros in alone.costs.told if tenant == "spender") == 2 * 3 * 360


async def turns(reached: Callable[[], bool]) -> None:
    """Let the loop turn until something is reached."""
    for _ in range(1000):
        if reached():
            return
        await asyncio.sleep(0)
    raise TimeoutError
