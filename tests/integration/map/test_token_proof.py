"""Read your own change through any router: with the token always, without it only by luck."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.bench.map_probe import Seen, open_prober
from tests.bench.map_seed import ground, seed, tenants
from tests.bench.map_world import PROBED, World, open_world

from trunkline_map.etcd import open_etcd

CHANGES = 50
DELAY_S = 0.05


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A small map, the control role and three routers, each a process; the last router's watch can be delayed."""
    async with open_world(tmp_path) as opened:
        async with open_etcd(opened.etcd) as store:
            await seed(store, ground())
            await seed(store, tenants(3 * PROBED))
        yield opened


async def test_who_brings_the_token_never_sees_the_old_map(world: World) -> None:
    """150 reads with it, right after the change, at three routers; those without it at the late router show the old."""
    targets = await world.start_services()
    world.late.faults.delay_s = DELAY_S
    seen = Seen()
    async with open_prober(targets) as prober:
        for _ in range(CHANGES):
            await prober.step(seen, plain=True)

    assert not seen.failures
    assert seen.token_reads == 3 * CHANGES
    assert seen.token_stale == 0
    assert seen.no_token_stale > 0
