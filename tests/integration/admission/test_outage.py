"""The store freezes, dies and comes back: the service goes on from its local share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from trunkline_admission.guarded_quota import GuardedQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.quota import BucketLimit, Limits, QuotaSource, TenantQuota
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.redis_scripts import RedisScripts, open_redis
from trunkline_lease.charge import Charge
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST
from trunkline_local.readiness import redis_ping, wait_ready
from trunkline_local.valkey import Valkey, valkey_command
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY
from trunkline_tiers import default_tiers

QUOTA = TenantQuota("acme", "pro", 1, Limits(BucketLimit(1000.0, 1000.0), None), 1.0)
ASKED_BEFORE_IT_OPENS = QUOTA_POLICY.consecutive_failures or 0


class CountingScripts(RedisScripts):
    """Counts the wishes of tenants that reach the store's client."""

    asked = 0

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        self.asked += script == "tenant"
        return await super().run(script, keys, args)


class Guarded:
    """The service's guard over a Valkey of the test's own; the breaker's rest passes when the test says so."""

    def __init__(self, store: CountingScripts) -> None:
        self.now_s = 0.0
        self.store = store
        self.authority = RedisQuota(self.store, default_tiers(), key_prefix="test")
        self.breaker = Breaker("redis", QUOTA_POLICY, clock=lambda: self.now_s)
        self.quotas = GuardedQuota(self.authority, LocalQuota(replicas=1, max_tenants=9), self.breaker)

    async def sources(self, count: int) -> list[QuotaSource]:
        """Wish `count` times, one after the other."""
        return [(await self.quotas.take(QUOTA, Charge(1, 1))).source for _ in range(count)]

    async def recovers(self) -> bool:
        """Let rests pass until the store answers again."""
        for _ in range(100):
            self.now_s += 60.0
            if (await self.sources(4))[-1] is QuotaSource.AUTHORITY:
                return True
            await asyncio.sleep(0.02)
        return False


@pytest.fixture
async def guarded(own_valkey: Valkey) -> AsyncIterator[Guarded]:
    async with open_redis(own_valkey.url, timeout_s=0.05, max_connections=8) as client:
        guarded = Guarded(CountingScripts(client, timeout_s=0.05))
        yield guarded
        await guarded.quotas.aclose()
        await guarded.authority.aclose()


async def test_a_frozen_store_is_asked_a_few_times_and_then_left_alone(guarded: Guarded, own_valkey: Valkey) -> None:
    """SIGSTOP: at most the breaker's threshold of calls wait their 50 ms, the others are local at once."""
    assert await guarded.recovers()
    before = guarded.store.asked
    own_valkey.child.pause()

    sources = await guarded.sources(200)

    assert sources == [QuotaSource.LOCAL] * 200
    assert guarded.store.asked - before <= ASKED_BEFORE_IT_OPENS
    assert not guarded.quotas.authority_ready()
    own_valkey.child.resume()
    assert await guarded.recovers()


async def test_a_killed_store_is_replaced_by_the_local_share(
    guarded: Guarded, own_valkey: Valkey, process_host: ProcessHost, tmp_path: Path
) -> None:
    """SIGKILL and an empty restart on the same port: local in between, one more burst after it, no error."""
    assert await guarded.recovers()
    own_valkey.child.kill()
    await own_valkey.child.wait()

    assert await guarded.sources(50) == [QuotaSource.LOCAL] * 50

    port = int(own_valkey.url.rpartition(":")[2].partition("/")[0])
    again = process_host.spawn(valkey_command("again", port, tmp_path / "again", tmp_path / "again.log"))
    await wait_ready(again, lambda: redis_ping(f"{HOST}:{port}"), within_s=15)
    assert await guarded.recovers()
    await again.stop()


async def test_many_callers_at_once_wait_together_and_not_in_turn(guarded: Guarded, own_valkey: Valkey) -> None:
    """However many are under way when the store freezes, each waits for it once."""
    assert await guarded.recovers()
    before = guarded.store.asked
    own_valkey.child.pause()

    sources = await asyncio.gather(*(guarded.sources(3) for _ in range(8)))

    assert {source for caller in sources for source in caller} == {QuotaSource.LOCAL}
    assert guarded.store.asked - before < 8 + ASKED_BEFORE_IT_OPENS
