"""The authority over a real Valkey: the same suites, lost scripts, and a store that answers badly."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.contract.quota_authority_suite import BucketSuite, PeriodSuite
from tests.contract.quota_pool_suite import PoolSuite
from tests.contract.quota_subject import NOON_S, QuotaSubject, day_limits, searches

from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.redis_scripts import RedisScripts, open_redis
from trunkline_admission.scripting import ScriptRunner
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable
from trunkline_tiers import default_tiers

PATIENCE_S = 5.0
"""Far above the service's 50 ms: here the store's behaviour is tested and not the machine's load."""


class ValkeySubject(QuotaSubject):
    """The store's clock runs; the test adds to it."""

    slack_s = 5.0

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.scripts = RedisScripts(client, timeout_s=PATIENCE_S)
        self.prefix = f"test:{secrets.token_hex(6)}"
        self.offset_s = NOON_S - time.time()
        super().__init__()

    @property
    def runner(self) -> ScriptRunner:
        return self.scripts

    def store_offset_s(self) -> float:
        return self.offset_s

    def now_s(self) -> float:
        return time.time() + self.offset_s

    def pass_time(self, seconds: float) -> None:
        self.offset_s += seconds

    async def keys(self) -> Mapping[str, float]:
        names = [name.decode() async for name in self.client.scan_iter(f"{self.prefix}:*")]
        return {name: await self.client.pttl(name) / 1000 for name in names}

    async def lose_everything(self) -> None:
        for name in await self.keys():
            await self.client.delete(name)


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Redis]:
    """Open the service's own client, with patience."""
    async with open_redis(valkey_url, timeout_s=PATIENCE_S, max_connections=8) as redis:
        yield redis


@pytest.fixture
async def subject(client: Redis) -> AsyncIterator[ValkeySubject]:
    subject = ValkeySubject(client)
    yield subject
    await subject.quotas.aclose()


class TestValkeyBuckets(BucketSuite):
    """Rates, on Valkey."""


class TestValkeyPeriods(PeriodSuite):
    """Days and months, on Valkey."""


class TestValkeyPools(PoolSuite):
    """Pools, on Valkey."""


async def test_lost_scripts_are_sent_again(subject: ValkeySubject) -> None:
    """SCRIPT FLUSH costs nobody an answer, and nothing of the count."""
    quota = subject.quota(limits=day_limits(20))
    await subject.quotas.take(quota, searches(8))

    await subject.client.script_flush()

    assert (await subject.quotas.take(quota, searches(100))).granted.requests == 12


async def test_sixteen_workers_of_two_replicas_get_burst_plus_rate(subject: ValkeySubject) -> None:
    """Under contention the count stays exact: at most burst + rate * t."""
    quota = subject.quota(rate=100, burst=50)
    replicas = (subject.quotas, subject.replica())
    started_s = time.monotonic()

    async def worker(number: int) -> int:
        got = 0
        for _ in range(20):
            got += (await replicas[number % 2].take(quota, searches(1))).granted.requests
            await asyncio.sleep(0.001)
        return got

    total = sum(await asyncio.gather(*(worker(number) for number in range(16))))

    assert 50 <= total <= 50 + 100 * (time.monotonic() - started_s) + 1
    await replicas[1].aclose()


@pytest.mark.parametrize("tenant_id", ["acme", "{x}", "pool", "müller", "a:b"])
async def test_tenants_do_not_share_counts(subject: ValkeySubject, tenant_id: str) -> None:
    """Whatever a tenant's name looks like, its counts are its own."""
    one = subject.quota(rate=0.001, burst=10, tenant_id=tenant_id)
    other = subject.quota(rate=0.001, burst=10, tenant_id=f"{tenant_id}2")

    await subject.quotas.take(one, searches(10))

    assert (await subject.quotas.take(other, searches(10))).granted.requests == 10


async def test_garbage_in_the_store_counts_as_nothing(subject: ValkeySubject) -> None:
    """Fields that are no numbers, or absurd ones, neither fail a grant nor make one larger than a burst."""
    quota = subject.quota(rate=0.001, burst=10)
    name = f"{subject.prefix}:{{{quota.tenant_id}}}:quota"
    for garbage in ("x", "", "nan", "inf", "-inf", "1e308", "0x10"):
        await subject.client.hset(name, mapping=dict.fromkeys(("at", "r", "t", "d", "dr", "m", "mr"), garbage))

        first = await subject.quotas.take(quota, searches(100))

        assert first.granted.requests <= 10
        assert (await subject.quotas.take(quota, searches(100))).granted.requests == 0


async def test_a_foreign_value_under_a_tenants_key_is_an_error_of_the_store(subject: ValkeySubject) -> None:
    """It is told as the store's failure, and nothing of the vendor's escapes."""
    quota = subject.quota()
    await subject.client.set(f"{subject.prefix}:{{{quota.tenant_id}}}:quota", "a string")

    with pytest.raises(BackendUnavailable):
        await subject.quotas.take(quota, searches(1))


class Answers:
    """A store that answers what it is told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        if script == "pool":
            return [50, 0, 0, 1000, 50, 1000, 0, 1000, 0, 1000]
        return self.answer


@pytest.mark.parametrize("answer", [
    None, b"OK", [], [0], [1] * 12, [0, -5] + [0] * 10, [0, 99] + [0] * 10, [0, "1"] + [0] * 10, [0.0] * 12, [-1],
    [-1, 10**30], [-1, -(10**30)], [-1, 0],
])  # fmt: skip
async def test_an_answer_that_is_none_is_an_error_of_the_store(subject: ValkeySubject, answer: Any) -> None:
    """Nothing is granted on the word of a store that talks nonsense."""
    quotas = RedisQuota(Answers(answer), default_tiers(), key_prefix="x")

    with pytest.raises(BackendUnavailable):
        await quotas.take(subject.quota(), searches(1))

    await quotas.aclose()


async def test_a_store_that_nobody_runs_is_unavailable(subject: ValkeySubject) -> None:
    """No connection means so at once."""
    async with open_redis("redis://127.0.0.1:1/0", timeout_s=PATIENCE_S, max_connections=2) as client:
        quotas = RedisQuota(RedisScripts(client, timeout_s=PATIENCE_S), default_tiers(), key_prefix="x")
        with pytest.raises((BackendUnavailable, BackendTimeout)):
            await quotas.take(subject.quota(), searches(1))
        await quotas.aclose()
