"""The store dies and comes back; routers fall silent; a region is down by the map."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.promises.conftest import Replica, Serve, report, spending

from trunkline_admission.levels import Level
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST
from trunkline_local.readiness import redis_ping, wait_ready
from trunkline_local.valkey import Valkey, valkey_command
from trunkline_map.entries import RegionState
from trunkline_map.testing import region

USUAL = 36_000

Rewind = Callable[[float], Awaitable[None]]


async def totals(replica: Replica, tier: str = "pro") -> tuple[int, int]:
    """Return a tier's calls and failed ones, as told."""
    answer = await replica.objectives.answer("")
    told = next(each for each in answer.objectives if each.name == tier)
    return told.calls, told.errors


@pytest.fixture
def rewind(valkey_url: str, key_prefix: str) -> Rewind:
    """Return what moves the last word of any router into the past, so that no test waits for minutes.

    It also gives the region USUAL calls of `pro` three hours ago: 300 to 400 in two minutes, whatever the time is.
    """

    async def back(seconds: float) -> None:
        async with Redis.from_url(valkey_url) as client:
            tag = f"{key_prefix}:{{promises}}:"
            at_ms = int(await _awaited(client.hget(f"{tag}silence", "at_ms")))
            await _awaited(client.hset(f"{tag}silence", "at_ms", str(at_ms - round(seconds * 1000))))
            await _awaited(client.hset(f"{tag}tier:pro", f"hc{int(time.time() // 3600) - 3}", str(USUAL)))

    return back


async def _awaited(pending: Any) -> Any:
    return await pending  # the library types it as maybe not awaitable


async def test_a_silence_that_new_routers_end_was_an_outage(replica: Serve, valkey_url: str, rewind: Rewind) -> None:
    """It is told while it lasts, and kept when it is over: two minutes of the usual traffic have failed."""
    one = await replica(valkey_url)
    await one.desk.take(report(1, calls=0))
    await rewind(120)

    lasting = await totals(one)
    await one.desk.take(report(1, router="router-after", calls=100))
    over = await totals(one)

    assert 290 <= lasting[1] <= 430
    assert lasting[1] <= over[1] <= lasting[1] + 20
    assert over[0] == USUAL + 100 + over[1]


async def test_a_silence_that_a_router_lived_through_was_none(replica: Serve, valkey_url: str, rewind: Rewind) -> None:
    """It could not reach admission, and brings what happened meanwhile."""
    one = await replica(valkey_url)
    await one.desk.take(report(1, calls=0))
    await rewind(120)

    await one.desk.take(report(2, calls=1200))

    assert await totals(one) == (USUAL + 1200, 0)


async def test_a_region_that_is_down_is_charged_less_what_it_served(
    replica: Serve, valkey_url: str, rewind: Rewind
) -> None:
    """From when the map has it down until it has it up again, though its routers report all the while."""
    one = await replica(valkey_url)
    await one.desk.take(report(1, calls=0))
    one.source.put(region("eu-1", "eu", admission="127.0.0.1:1", state=RegionState.DOWN))
    await one.desk.take(report(2, calls=0))
    await rewind(120)
    whole = await totals(one)
    await one.desk.take(report(3, calls=200))
    lasting = await totals(one)
    one.source.put(region("eu-1", "eu", admission="127.0.0.1:1"))
    await one.desk.take(report(4, calls=0))

    over = await totals(one)

    assert 290 <= whole[1] <= 430
    assert whole[1] - 200 <= lasting[1] <= whole[1] - 180
    assert lasting[1] <= over[1] <= lasting[1] + 20


async def test_a_drained_regions_silence_is_meant(replica: Serve, valkey_url: str, rewind: Rewind) -> None:
    """Neither charged while it lasts nor when it is over."""
    one = await replica(valkey_url)
    await one.desk.take(report(1, calls=0))
    one.source.put(region("eu-1", "eu", admission="127.0.0.1:1", state=RegionState.DRAINING))
    await rewind(3600)

    assert (await totals(one))[1] == 0
    await one.desk.take(report(1, router="router-after", calls=0))
    one.source.put(region("eu-1", "eu", admission="127.0.0.1:1"))
    await one.desk.take(report(2, router="router-after", calls=0))
    assert (await totals(one))[1] == 0


async def test_reports_wait_for_a_store_that_dies_and_comes_back(
    replica: Serve, own_valkey: Valkey, process_host: ProcessHost, tmp_path: Path
) -> None:
    """SIGKILL: levels go on alone, reports wait, and what waited is counted once by the store that comes back."""
    one = await replica(own_valkey.url)
    await one.desk.take(report(1, errors=1))
    own_valkey.child.kill()
    await own_valkey.child.wait()
    for number in (2, 3):
        answer = await one.desk.take(report(number, utilisation=0.95, tenants=(spending("spender", 450),)))
    await one.keeper.tick()
    await one.keeper.tick()

    assert len(one.queue) == 2
    assert [told.used_part for told in answer.budgets] == [0.9]
    assert one.keeper.level_of("pro") is Level.EMERGENCY

    port = int(own_valkey.url.rpartition(":")[2].partition("/")[0])
    again = process_host.spawn(valkey_command("promises-again", port, tmp_path / "again", tmp_path / "again.log"))
    await wait_ready(again, lambda: redis_ping(f"{HOST}:{port}"), within_s=15)
    for _ in range(1000):
        if not len(one.queue):
            break
        await asyncio.sleep(0.01)

    # The store has lost what it had; what waited is there, once.
    assert await totals(one) == (200, 0)
    assert (await one.desk.take(report(4, tenants=(spending("spender", 0),)))).budgets[0].used_part == 0.9
    await one.keeper.tick()
    assert one.keeper.level_of("pro") is Level.EMERGENCY
    await again.stop()
