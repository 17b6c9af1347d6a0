"""A quota store that hangs costs a few calls 50 ms each, and then nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from tests.fixtures.servers import unavailable

from trunkline_local.errors import BinaryMissingError
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.valkey import Valkey, start_valkey
from trunkline_mesh.breaker import Breaker, BreakerState
from trunkline_mesh.breaker_policy import QUOTA_POLICY
from trunkline_mesh.errors import CircuitOpen

TIMEOUT_S = 0.05


@pytest.fixture
async def store(process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path) -> AsyncIterator[Valkey]:
    """A store of the test's own, to be frozen."""
    try:
        valkey = await start_valkey(process_host, port_allocator, tmp_path, name="valkey-to-freeze")
    except BinaryMissingError as exc:
        unavailable(exc)
    yield valkey
    valkey.child.kill()
    await valkey.child.wait()


def client_of(store: Valkey) -> Redis:
    return Redis.from_url(
        store.url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
    )


async def test_a_frozen_store_costs_three_short_calls_where_the_defaults_hang(store: Valkey) -> None:
    """Then the breaker answers at once, and closes again after the store came back."""
    breaker = Breaker("redis/test/quota", replace(QUOTA_POLICY, rest_s=0.3))
    async with client_of(store) as ours, Redis.from_url(store.url) as naive:

        async def spend() -> None:
            await breaker.call(lambda: ours.incr("spent"))

        def closed() -> bool:
            return breaker.state is BreakerState.CLOSED

        await spend()
        await naive.incr("spent")
        store.child.pause()
        hanging = asyncio.ensure_future(naive.incr("spent"))
        slow = 0
        while closed():
            began_s = time.monotonic()
            with pytest.raises(Exception, match=r"(?i)time"):
                await spend()
            assert time.monotonic() - began_s >= 0.8 * TIMEOUT_S
            slow += 1
        assert slow == QUOTA_POLICY.consecutive_failures
        for _ in range(100):
            with pytest.raises(CircuitOpen):
                await spend()
        assert not hanging.done()
        store.child.resume()
        async with asyncio.timeout(10):
            await hanging
            while not closed():
                await asyncio.gather(spend(), asyncio.sleep(0.02), return_exceptions=True)
        await spend()
