"""Quotas in a real Valkey: the contract, accuracy, keys, lost scripts, lost data."""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from tests.unit.admission.quota_contract import QuotaAuthorityContract, QuotaSubject, granted

from trunkline_admission.quota import Quota, QuotaSource
from trunkline_admission.redis_quota import RedisQuota, open_redis
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable

PATIENCE_S = 5.0
"""Far above the service's 50 ms: here the store's behaviour is tested and not the machine's load."""


class RedisSubject(QuotaSubject):
    """The Redis adapter; its time is the store's plus an offset."""

    source = QuotaSource.AUTHORITY
    slack_s = 5.0

    def __init__(self, client: Redis) -> None:
        self.client = client
        self.prefix = f"test:{secrets.token_hex(6)}"
        self.offset_s = 0.0
        self.quotas = self.replica()
        self._numbers = itertools.count()

    def replica(self) -> RedisQuota:
        """Return another adapter of the same quotas."""
        return RedisQuota(
            self.client,
            key_prefix=self.prefix,
            permit_ttl_s=self.permit_ttl_s,
            timeout_s=PATIENCE_S,
            clock_offset_s=lambda: self.offset_s,
        )

    def quota(self, *, rate: float, burst: float, tenant_id: str = "") -> Quota:
        return Quota(tenant_id or f"tenant-{next(self._numbers)}", "pro", 1, rate, burst, 0.5)

    def pass_time(self, seconds: float) -> None:
        self.offset_s += seconds

    async def keys(self, pattern: str) -> list[str]:
        """Return the subject's keys that match."""
        return sorted([key.decode() async for key in self.client.scan_iter(f"{self.prefix}:{pattern}")])


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Redis]:
    """Open the service's own client, with patience."""
    async with open_redis(valkey_url, timeout_s=PATIENCE_S, max_connections=8) as redis:
        yield redis


class TestRedisQuota(QuotaAuthorityContract):
    """The contract on Valkey."""

    @pytest.fixture
    def subject(self, client: Redis) -> RedisSubject:
        return RedisSubject(client)

    async def outlive_permits(self, subject: QuotaSubject) -> None:
        """Permits expire by themselves; the test only hastens it."""
        assert isinstance(subject, RedisSubject)
        for key in await subject.keys("*permit*"):
            assert 0 < await subject.client.pttl(key) <= subject.permit_ttl_s * 1000
            await subject.client.pexpire(key, 1)
            while await subject.client.exists(key):  # noqa: ASYNC110 - Valkey tells no event of ours
                await asyncio.sleep(0.001)


@pytest.fixture
def subject(client: Redis) -> RedisSubject:
    return RedisSubject(client)


async def test_sixteen_workers_of_two_replicas_get_burst_plus_rate(subject: RedisSubject) -> None:
    """Under contention of replicas the count stays exact: at most burst + rate * t, and no less than a tenth under."""
    quota = subject.quota(rate=100, burst=50)
    replicas = (subject.quotas, subject.replica())
    started_s, total = time.monotonic(), 0

    async def worker(number: int) -> int:
        got = 0
        for attempt in itertools.count():
            if time.monotonic() - started_s >= 1.0:
                return got
            if await granted(replicas[number % 2].reserve(quota, f"{number}-{attempt}", 1)):
                got += 1
            await asyncio.sleep(0.002)
        return got

    total = sum(await asyncio.gather(*(worker(number) for number in range(16))))
    elapsed_s = time.monotonic() - started_s

    assert total <= 50 + 100 * elapsed_s + 1
    assert total >= 0.9 * (50 + 100 * 1.0)


async def test_all_keys_of_a_tenant_share_its_tag_and_expire(subject: RedisSubject) -> None:
    """A cluster keeps them in one slot, and nothing stays for ever: a bucket goes once it is full again."""
    quota = subject.quota(rate=10, burst=50, tenant_id="acme")
    await subject.quotas.reserve(quota, "r1", 5)

    keys = await subject.keys("*")

    assert [key.partition("{acme}")[1] for key in keys] == ["{acme}", "{acme}"]
    bucket_ttl_ms = await subject.client.pttl(next(key for key in keys if key.endswith("bucket")))
    assert 0 < bucket_ttl_ms <= 6000


async def test_lost_scripts_are_sent_again(subject: RedisSubject) -> None:
    """SCRIPT FLUSH costs nobody an answer, and no tokens."""
    quota = subject.quota(rate=0.001, burst=10)
    first = await subject.quotas.reserve(quota, "r1", 3)
    await subject.client.script_flush()

    assert await subject.quotas.reserve(quota, "r1", 3) == first
    await subject.client.script_flush()
    assert await subject.quotas.settle(quota.tenant_id, first.permit_id, 1) == 2
    await subject.client.script_flush()
    assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 9


async def test_lost_data_is_worth_one_more_burst(subject: RedisSubject) -> None:
    """A store that comes back empty knows no permits and has full buckets."""
    quota = subject.quota(rate=0.001, burst=10)
    assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 10

    for key in await subject.keys("*"):
        await subject.client.delete(key)

    assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 10
    assert (await subject.quotas.take(quota, 100, 0)).granted_tokens == 0


@pytest.mark.parametrize("tenant_id", ["acme", "a-b-c", "{x}", "müller"])
async def test_tenants_do_not_share_buckets(subject: RedisSubject, tenant_id: str) -> None:
    """Whatever a tenant's name looks like, it has a bucket of its own."""
    one = subject.quota(rate=0.001, burst=10, tenant_id=tenant_id)
    other = subject.quota(rate=0.001, burst=10, tenant_id=f"{tenant_id}2")

    assert (await subject.quotas.take(one, 100, 0)).granted_tokens == 10
    assert (await subject.quotas.take(other, 100, 0)).granted_tokens == 10


async def test_cancelled_callers_never_get_each_others_answers(subject: RedisSubject) -> None:
    """Half of the callers leave at random; every answer that arrives belongs to its question."""
    rng = random.Random(7)

    async def ask(number: int) -> tuple[int, int]:
        quota = subject.quota(rate=0.001, burst=1000, tenant_id=f"t{number}")
        return number, (await subject.quotas.take(quota, number, 0)).granted_tokens

    tasks = [asyncio.ensure_future(ask(number)) for number in range(1, 201)]
    for _ in range(100):
        await asyncio.sleep(rng.random() * 0.001)
        rng.choice(tasks).cancel()
    answers = [answer for answer in await asyncio.gather(*tasks, return_exceptions=True) if isinstance(answer, tuple)]

    assert len(answers) >= 50
    assert all(number == tokens for number, tokens in answers)


async def test_a_store_that_is_not_there_is_named_unavailable() -> None:
    """The vendor's errors end at the adapter, and opening does not need the store."""
    async with open_redis("redis://127.0.0.1:1/0", timeout_s=0.05, max_connections=2) as redis:
        quotas = RedisQuota(redis, key_prefix="test", permit_ttl_s=60)

        with pytest.raises(BackendUnavailable) as failure:
            await quotas.take(Quota("acme", "pro", 1, 1, 1, 0.5), 1, 0)

    assert "127.0.0.1" not in failure.value.message


async def test_a_store_that_does_not_speak_is_given_up_in_time() -> None:
    """A listener that accepts and never answers costs one timeout, connecting included."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_redis(f"redis://127.0.0.1:{port}/0", timeout_s=0.05, max_connections=2) as redis:
        quotas = RedisQuota(redis, key_prefix="test", permit_ttl_s=60)

        with pytest.raises(BackendTimeout):
            await quotas.take(Quota("acme", "pro", 1, 1, 1, 0.5), 1, 0)
