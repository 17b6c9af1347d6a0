"""Quotas in Redis or Valkey: one script for each operation, atomic and in the store's own time."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from importlib import resources
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from trunkline_admission.errors import charged_too_much, quota_exhausted
from trunkline_admission.quota import Grant, Quota, QuotaSource, Reservation
from trunkline_mesh.errors import BackendTimeout, BackendUnavailable, PermitUnknown, RequestIdReused

PERMIT_MARK: Final = "a"
"""First part of the permits that the store keeps."""
WARM_UP_S: Final = 1.0
"""Time for a first connection at start; without one the service starts all the same."""

LATE_TURNS: Final = 4
"""Turns of the event loop in which an answer is still taken after its time: if it was this process that stalled, the
answer lies in the socket already, and the store is not to blame."""

_Script = Callable[..., Awaitable[Any]]


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
        # The library's own timeouts stand behind those of `RedisQuota`, which tell a stall of ours from the store's.
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


def no_offset() -> float:
    """Return 0: the store's clock is what it is."""
    return 0.0


class RedisQuota:
    """A `QuotaAuthority` in Redis. All keys of one tenant share a `{tenant}` tag, so they share a cluster's slot.

    A store that lost its data gives every tenant one more burst; size bursts for it.
    """

    def __init__(
        self,
        client: Redis,
        *,
        key_prefix: str,
        permit_ttl_s: float,
        timeout_s: float = 0.05,
        clock_offset_s: Callable[[], float] = no_offset,
    ) -> None:
        """Use `client`, which stays the caller's. `clock_offset_s` is added to the store's time, to test its jumps."""
        self._key_prefix = key_prefix
        self._permit_ttl_ms = round(permit_ttl_s * 1000)
        self._timeout_s = timeout_s
        self._clock_offset_s = clock_offset_s
        # register_script sends the text again after SCRIPT FLUSH or a restart; EVALSHA alone would fail then.
        self._reserve, self._settle, self._take = (
            client.register_script(_source(name)) for name in ("reserve", "settle", "take")
        )

    async def reserve(self, quota: Quota, request_id: str, cost_tokens: int) -> Reservation:
        """As `QuotaAuthority.reserve`."""
        digest, nonce = _digest(request_id), secrets.token_hex(8)
        keys = (self._bucket_key(quota.tenant_id), self._permit_key(quota.tenant_id, digest))
        rate, burst = quota.rate_tokens_per_s, quota.burst_tokens
        args = (rate, burst, self._offset_us(), cost_tokens, self._permit_ttl_ms, nonce)
        outcome, *rest = await self._run(self._reserve, keys, args)
        if outcome == 0:
            raise quota_exhausted(cost_tokens, burst, rest[0] / 1e6 if rest[0] >= 0 else None)
        kept_nonce, reserved, expires_at_us = rest[0].decode(), int(rest[1]), int(rest[2])
        if reserved != cost_tokens:
            raise RequestIdReused
        permit_id = f"{PERMIT_MARK}.{digest}.{kept_nonce}"
        return Reservation(permit_id, reserved, expires_at_us / 1e6, QuotaSource.AUTHORITY)

    async def settle(self, tenant_id: str, permit_id: str, charged_tokens: int) -> int:
        """As `QuotaAuthority.settle`."""
        mark, _, rest = permit_id.partition(".")
        digest, _, nonce = rest.partition(".")
        if mark != PERMIT_MARK or not nonce or len(permit_id) > 64:
            raise PermitUnknown
        keys = (self._bucket_key(tenant_id), self._permit_key(tenant_id, digest))
        outcome, tokens = await self._run(self._settle, keys, (self._offset_us(), nonce, charged_tokens))
        if outcome == 0:
            raise PermitUnknown
        if outcome == 2:
            raise charged_too_much(tokens)
        return int(tokens)

    async def take(self, quota: Quota, wanted_tokens: int, returned_tokens: int) -> Grant:
        """As `QuotaAuthority.take`."""
        rate, burst = quota.rate_tokens_per_s, quota.burst_tokens
        args = (rate, burst, self._offset_us(), wanted_tokens, returned_tokens)
        granted, delay_us = await self._run(self._take, (self._bucket_key(quota.tenant_id),), args)
        return Grant(granted, delay_us / 1e6 if delay_us >= 0 else None, QuotaSource.AUTHORITY)

    async def _run(self, script: _Script, keys: Sequence[str], args: Sequence[float | str]) -> Any:
        """Run a script within the timeout, connecting included; the vendor's errors end here."""
        running = asyncio.ensure_future(script(keys=keys, args=args))
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

    def _bucket_key(self, tenant_id: str) -> str:
        return f"{self._key_prefix}:{{{tenant_id}}}:bucket"

    def _permit_key(self, tenant_id: str, digest: str) -> str:
        return f"{self._key_prefix}:{{{tenant_id}}}:permit:{digest}"

    def _offset_us(self) -> int:
        return round(self._clock_offset_s() * 1e6)


def _digest(request_id: str) -> str:
    """Request ids are the caller's: a digest bounds their length and keeps their characters out of keys."""
    return hashlib.blake2s(request_id.encode(), digest_size=12).hexdigest()


def _source(name: str) -> str:
    folder = resources.files("trunkline_admission") / "scripts"
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("bucket", name))
