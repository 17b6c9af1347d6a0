"""A limiter that asks Redis every time, as one would write it first: what the admission service is compared with.

The same server stages, credentials and contract as the real one. Each `Admit` is one script in Redis, so one round
trip, for what the real one asks of a tenant without limited keys: buckets of the service and of the tier's pool, the
tenant's buckets of requests and of tokens, and its counts of both for the day and the month; all have room, or nothing
is taken. So that one script may touch all keys, they share a tag: one node of a cluster carries the whole region. It
has no permits to settle, no tenants' time zones, no lending between tiers, no map and no breaker. With `FLAT=1` it has
one bucket of each tenant and nothing else. `python -m tests.bench.naive_admission`, settings by `TRUNKLINE_NAIVE_...`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from redis.asyncio import Redis

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.errors import QuotaExhausted
from trunkline_mesh.method_policy import Access, MethodPolicy
from trunkline_mesh.request import tenant_of
from trunkline_mesh.server import run_service
from trunkline_mesh.settings import ServiceSettings

SERVICE: Final = "trunkline.admission.v1.AdmissionService"
TIER: Final = "enterprise"
RANK: Final = 2
RATE_PER_S: Final = 10**6
BURST: Final = 10**6
MOST: Final = 10**12
"""Of a day and of a month: no quota stands in the way of what is measured."""
COMMON: Final = """
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function level(stored, at, rate, burst)
  return stored and math.min(burst, tonumber(stored) + math.max(0, now - tonumber(at)) * rate) or burst
end
"""
FLAT: Final = f"""{COMMON}
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = level(stored[1], stored[2], tonumber(ARGV[1]), tonumber(ARGV[2])) - tonumber(ARGV[3])
if tokens < 0 then return 0 end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
return 1
"""
HIERARCHY: Final = f"""{COMMON}
-- KEYS: service, tier, tenant. ARGV: requests, tokens, day, month, rate, burst, most of a day and of a month.
local requests, tokens, day, month = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local rate, burst, most = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local service, tier = redis.call('HMGET', KEYS[1], 'r', 'at'), redis.call('HMGET', KEYS[2], 'r', 'at')
local tenant = redis.call('HMGET', KEYS[3], 'r', 't', 'at', 'day', 'dr', 'dt', 'month', 'mr', 'mt')
local function counted(period, begun, count)
  return period == begun and tonumber(count) or 0
end
local service_r = level(service[1], service[2], rate, burst) - requests
local tier_r = level(tier[1], tier[2], rate, burst) - requests
local r = level(tenant[1], tenant[3], rate, burst) - requests
local t = level(tenant[2], tenant[3], rate, burst) - tokens
local dr, dt = counted(tenant[4], day, tenant[5]) + requests, counted(tenant[4], day, tenant[6]) + tokens
local mr, mt = counted(tenant[7], month, tenant[8]) + requests, counted(tenant[7], month, tenant[9]) + tokens
if math.min(service_r, tier_r, r, t) < 0 or math.max(dr, dt, mr, mt) > most then return 0 end
local at = string.format('%.6f', now)
redis.call('HSET', KEYS[1], 'r', service_r, 'at', at)
redis.call('HSET', KEYS[2], 'r', tier_r, 'at', at)
redis.call('HSET', KEYS[3], 'r', r, 't', t, 'at', at, 'day', day, 'dr', dr, 'dt', dt,
  'month', month, 'mr', mr, 'mt', mt)
redis.call('EXPIRE', KEYS[3], 2764800)
return 1
"""


class NaiveSettings(ServiceSettings):
    """Where Redis is. Slots as the bench gives to the real one, and no limit that adapts: it would count the time in
    which Redis is asked, and let fewer ask."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_NAIVE_", frozen=True, extra="ignore")

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    max_concurrency: int = 256
    max_queue: int = 4096
    adaptive_concurrency: bool = False
    flat: bool = Field(default=False, description="Know tenants alone.")


class NaiveAdmission:
    """A round trip for each decision."""

    def __init__(self, client: Redis, *, flat: bool) -> None:
        self._script = client.register_script(FLAT if flat else HIERARCHY)
        self._flat = flat

    async def admit(
        self, request: admission_pb.AdmitRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admission_pb.AdmitResponse:
        """Take the quota or refuse."""
        tenant_id, requests, tokens = tenant_of(request.tenant_id), request.requests or 1, request.cost_tokens
        if not await (self._ask_flat(tenant_id, tokens) if self._flat else self._ask(tenant_id, requests, tokens)):
            raise QuotaExhausted
        permit = admission_pb.Permit(
            permit_id=secrets.token_hex(8), rank=RANK, requests=requests, reserved_tokens=tokens, replica="naive"
        )
        return admission_pb.AdmitResponse(permit=permit)

    async def _ask_flat(self, tenant_id: str, tokens: int) -> Any:
        return await self._script(keys=(f"naive:{{{tenant_id}}}",), args=(RATE_PER_S, BURST, tokens))

    async def _ask(self, tenant_id: str, requests: int, tokens: int) -> Any:
        today = time.gmtime()
        day, month = today.tm_year * 1000 + today.tm_yday, today.tm_year * 100 + today.tm_mon
        keys = ("naive:{region}:service", f"naive:{{region}}:tier:{TIER}", f"naive:{{region}}:tenant:{tenant_id}")
        return await self._script(keys=keys, args=(requests, tokens, day, month, RATE_PER_S, BURST, MOST))


def register(servicer: Any, server: Any) -> None:
    """Register `servicer.admit` as the one method, as generated code registers all."""
    handler = grpc.unary_unary_rpc_method_handler(
        servicer.admit,
        request_deserializer=admission_pb.AdmitRequest.FromString,
        response_serializer=admission_pb.AdmitResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE, {"Admit": handler})


@asynccontextmanager
async def open_app(settings: NaiveSettings) -> AsyncIterator[MeshApp]:
    """Connect and compose."""
    async with Redis.from_url(settings.redis_url.get_secret_value(), max_connections=64) as client:
        binding = ServiceBinding(
            service=SERVICE,
            servicer=NaiveAdmission(client, flat=settings.flat),
            register=register,
            policy={f"/{SERVICE}/Admit": MethodPolicy(Access.TENANT, cap_s=1.0, floor_s=0.001, preemptible=False)},
        )
        yield MeshApp(name="naive", bindings=(binding,))


if __name__ == "__main__":
    run_service(NaiveSettings, open_app, "naive")
