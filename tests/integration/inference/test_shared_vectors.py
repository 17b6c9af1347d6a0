"""The shared cache on a real Valkey: found after a restart, and missed by nobody when it is gone."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
from redis.asyncio import Redis
from tests.integration.inference.service import Inference, serve

from trunkline_inference.models import InputKind
from trunkline_inference.ports import VectorKey
from trunkline_inference.redis_store import RedisVectors, open_redis
from trunkline_local.host import ProcessHost
from trunkline_local.identity import DevIdentity
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import eventually
from trunkline_local.valkey import start_valkey
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY


def key(text: str, tenant: str = "acme") -> VectorKey:
    """Return a key of a text."""
    return VectorKey(tenant, "m", "1", InputKind.QUERY, text.encode())


async def test_vectors_survive_a_restart_of_the_service(
    identity: DevIdentity, triton_endpoint: str, valkey_url: str, cache_prefix: str
) -> None:
    """A new process finds what the old one computed, and each tenant only its own."""
    changes = {"redis_url": valkey_url, "cache_prefix": cache_prefix}
    async with AsyncExitStack() as first:
        before = await (await serve(first, identity, triton_endpoint, **changes)).embed("one", "two")
    async with AsyncExitStack() as second:
        restarted = await serve(second, identity, triton_endpoint, **changes)
        after = await restarted.embedding(["two", "one", "three"])

        assert after.cached_count == 2
        assert np.array_equal(np.array(after.embeddings[1].values, np.float32), before[0])
        assert await restarted.as_tenant("rival").cached_count("one", "two") == 0


async def test_every_vector_expires(valkey_url: str, cache_prefix: str) -> None:
    """The cache cannot grow for ever, and its keys name the tenant."""
    async with open_redis(valkey_url, timeout_s=1.0, max_connections=2) as client:
        shared = RedisVectors(client, Breaker("redis/test/a", QUOTA_POLICY), prefix=cache_prefix, ttl_s=100)
        await shared.put_many({key("a"): b"1234", key("b", "rival"): b"5678"})
        names = sorted([name async for name in client.scan_iter(f"{cache_prefix}:*")])

        assert await shared.get_many([key("b"), key("a"), key("b", "rival")]) == [None, b"1234", b"5678"]
        assert [name.split(b":")[2] for name in names] == [b"{acme}", b"{rival}"]
        assert all([0 < await client.ttl(name) <= 100 for name in names])


async def test_a_foreign_value_is_no_vector(
    inference_with_cache: Inference, valkey_url: str, cache_prefix: str
) -> None:
    """What somebody else wrote under the key is passed over."""
    expected = await inference_with_cache.embed("overwritten")
    async with Redis.from_url(valkey_url) as client:
        for name in [name async for name in client.scan_iter(f"{cache_prefix}:*")]:
            await client.set(name, b"\x00" * 7)

    assert np.array_equal(await inference_with_cache.embed("overwritten"), expected)


async def test_a_frozen_cache_fails_no_call_and_is_used_again(
    stack: AsyncExitStack,
    identity: DevIdentity,
    triton_endpoint: str,
    process_host: ProcessHost,
    port_allocator: PortAllocator,
    tmp_path: Path,
) -> None:
    """SIGSTOP: answers go on without it. SIGCONT: its vectors are found again. SIGKILL: answers go on."""
    valkey = await start_valkey(process_host, port_allocator, tmp_path)
    inference = await serve(stack, identity, triton_endpoint, redis_url=valkey.url, local_cache_bytes=1)
    assert await inference.cached_count("kept") == 0

    valkey.child.pause()
    try:
        for number in range(8):
            assert (await inference.embed(f"frozen {number}")).shape == (1, 384)
    finally:
        valkey.child.resume()
    assert await eventually(lambda: is_cached(inference, "kept"), within_s=30)

    valkey.child.kill()
    await valkey.child.wait()
    assert (await inference.embed("kept", "gone")).shape == (2, 384)


async def is_cached(inference: Inference, text: str) -> bool:
    """Tell whether a text's vector comes from a cache."""
    return await inference.cached_count(text) == 1
