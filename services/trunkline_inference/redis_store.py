"""The region's shared cache of vectors, in Redis or Valkey. It may be slow, frozen or gone, and nobody fails for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from trunkline_inference.ports import VectorKey
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.errors import CircuitOpen
from trunkline_mesh.logs import get_logger

T = TypeVar("T")

log = get_logger("inference.redis")


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float, max_connections: int) -> AsyncIterator[Redis]:
    """Open a client that waits at most `timeout_s` for a free connection, for connecting and for an answer.

    It never repeats a command: the client's default retries hold a call for seconds when the server is frozen.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
    client = Redis(connection_pool=pool)
    try:
        yield client
    finally:
        await client.aclose()
        await pool.disconnect()


class RedisVectors:
    """Vectors under `{prefix}:{tenant}:model:revision:kind:digest`, each with an expiry.

    The tenant stands in braces, so that in a cluster one tenant's keys lie together and a batch is one command. A
    command runs to its bounded end even if its caller is cancelled: cutting it off would cost its connection.
    """

    def __init__(self, client: Redis, breaker: Breaker, *, prefix: str, ttl_s: int) -> None:
        """Use `client` behind `breaker`."""
        self._client = client
        self._breaker = breaker
        self._prefix = prefix
        self._ttl_s = ttl_s
        self._running: set[asyncio.Future[Any]] = set()

    def available(self) -> bool:
        """Return False while the breaker rests it."""
        return not self._breaker.is_open()

    async def get_many(self, keys: Sequence[VectorKey]) -> Sequence[bytes | None]:
        """As `SharedVectors.get_many`, in one command."""
        names = [self._name(key) for key in keys]
        found = await self._guarded(lambda: self._client.mget(names))
        if found is None:
            return [None] * len(keys)
        return [value if isinstance(value, bytes) else None for value in found]

    async def put_many(self, vectors: Mapping[VectorKey, bytes]) -> None:
        """As `SharedVectors.put_many`, in one round trip."""
        if not vectors:
            return
        pipeline = self._client.pipeline(transaction=False)
        for key, data in vectors.items():
            pipeline.set(self._name(key), data, ex=self._ttl_s)
        await self._guarded(pipeline.execute)

    async def aclose(self) -> None:
        """Wait for commands whose callers have left; each is bounded by the client's timeouts."""
        await asyncio.gather(*self._running, return_exceptions=True)

    def _name(self, key: VectorKey) -> str:
        return f"{self._prefix}:{{{key.tenant_id}}}:{key.model_id}:{key.revision}:{key.kind.value}:{key.digest.hex()}"

    async def _guarded(self, command: Callable[[], Awaitable[T]]) -> T | None:
        """Return what a command returns, or None if it failed or was not tried."""
        if self._breaker.is_open():
            return None
        task = asyncio.ensure_future(self._breaker.call(command))
        self._running.add(task)
        task.add_done_callback(self._ended)
        try:
            return await asyncio.shield(task)
        except CircuitOpen:
            return None
        except (RedisError, OSError, TimeoutError) as exc:
            log.warning("shared vectors cannot be used", dependency="redis", error_type=type(exc).__name__)
            return None

    def _ended(self, task: asyncio.Future[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # taken note of: its caller may have left


class NoSharedVectors:
    """A region without a shared cache."""

    def available(self) -> bool:
        """Return True: nothing is missing."""
        return True

    async def get_many(self, keys: Sequence[VectorKey]) -> Sequence[bytes | None]:
        """Find nothing."""
        return [None] * len(keys)

    async def put_many(self, vectors: Mapping[VectorKey, bytes]) -> None:
        """Keep nothing."""
