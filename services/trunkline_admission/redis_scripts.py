"""Scripts in Redis or Valkey: each atomic, in the store's own time, and given up soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from trunkline_admission.scripting import script_text
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable

WARM_UP_S: Final = 1.0
"""Time for a first connection at start; without one the service starts all the same."""
LATE_TURNS: Final = 4
"""Turns of the event loop in which an answer is still taken after its time: if it was this process that stalled, the
answer lies in the socket already, and the store is not to blame."""


@asynccontextmanager
async def open_redis(url: str, *, timeout_s: float, max_connections: int) -> AsyncIterator[Redis]:
    """Open a client that gives up soon after `timeout_s` and never repeats a command by itself.

    By default a Redis that hangs holds a call for 20 s, and for 3.6 s with a timeout alone. Does not need Redis to be
    there.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=max_connections,
        timeout=timeout_s,
        # The library's own timeouts stand behind those of `RedisScripts`, which tell a stall of ours from the store's.
        socket_timeout=2 * timeout_s,
        socket_connect_timeout=2 * timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        protocol=2,  # no handshake: a new connection costs one round trip
    )
    async with Redis.from_pool(pool) as client:
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(WARM_UP_S):
                await client.time()
        yield client


class RedisScripts:
    """A `ScriptRunner` over a client, which stays the caller's."""

    def __init__(self, client: Redis, *, timeout_s: float = 0.05) -> None:
        """Give up after `timeout_s`, connecting included."""
        self._client = client
        self._timeout_s = timeout_s
        self._scripts: dict[str, AsyncScript] = {}

    async def run(self, script: str, keys: Sequence[str], args: Sequence[str | int | float]) -> Any:
        """As `ScriptRunner.run`; the vendor's errors end here."""
        running = asyncio.ensure_future(self._script(script)(keys=list(keys), args=list(args)))
        try:
            await asyncio.wait((running,), timeout=self._timeout_s)
            for _ in range(LATE_TURNS):
                if running.done():
                    break
                await asyncio.sleep(0)
        finally:
            if not running.done():
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        if running.cancelled():
            raise BackendTimeout("the quota store did not answer in time")
        try:
            return running.result()
        except RedisTimeoutError as exc:
            raise BackendTimeout("the quota store did not answer in time") from exc
        except (RedisError, OSError) as exc:
            raise BackendUnavailable("the quota store cannot be reached") from exc

    def _script(self, name: str) -> AsyncScript:
        # register_script sends the text again after SCRIPT FLUSH or a restart; EVALSHA alone would fail then.
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._client.register_script(script_text(name))
        return script
