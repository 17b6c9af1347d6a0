"""A limiter that asks Redis every time, as one would write it first: what the admission service is compared with.

The same server stages, credentials and contract as the real one, with no permits, no day counts and no breaker. Each
`Admit` is a token-bucket script in Redis for the tier and the region, and one for the tenant: their keys lie in
different slots of a cluster, so that is two round trips. With `LEVELS=1` it knows tenants alone, and promises less than
the real one does. `python -m tests.bench.naive_admission`, settings by `TRUNKLINE_NAIVE_...`.
"""

from __future__ import annotations

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
RATE_PER_S: Final = 1e6
BURST: Final = 1e6
BUCKET: Final = """
local stored = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local tokens = tonumber(ARGV[2])
if stored[1] then
  tokens = math.min(tokens, tonumber(stored[1]) + math.max(0, now - tonumber(stored[2])) * tonumber(ARGV[1]))
end
local granted = tokens >= tonumber(ARGV[3])
if granted then tokens = tokens - tonumber(ARGV[3]) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', now))
redis.call('PEXPIRE', KEYS[1], 60000)
return granted and 1 or 0
"""


class NaiveSettings(ServiceSettings):
    """Where Redis is."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_NAIVE_", frozen=True, extra="ignore")

    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    levels: int = Field(2, ge=1, le=2)


class NaiveAdmission:
    """A round trip for each level of each decision."""

    def __init__(self, client: Redis, levels: int) -> None:
        self._bucket = client.register_script(BUCKET)
        self._levels = levels

    async def admit(
        self, request: admission_pb.AdmitRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> admission_pb.AdmitResponse:
        """Take the tokens or refuse."""
        tenant_id = tenant_of(request.tenant_id)
        keys = ("naive:{pool}", f"naive:{{{tenant_id}}}")[-self._levels :]
        for key in keys:
            if not await self._bucket(keys=(key,), args=(RATE_PER_S, BURST, request.cost_tokens)):
                raise QuotaExhausted
        permit = admission_pb.Permit(permit_id="naive", reserved_tokens=request.cost_tokens)
        return admission_pb.AdmitResponse(permit=permit)


def register(servicer: NaiveAdmission, server: Any) -> None:
    """Register the one method, as generated code registers all."""
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
            servicer=NaiveAdmission(client, settings.levels),
            register=register,
            policy={f"/{SERVICE}/Admit": MethodPolicy(Access.TENANT, cap_s=1.0, floor_s=0.001)},
        )
        yield MeshApp(name="naive", bindings=(binding,))


if __name__ == "__main__":
    run_service(NaiveSettings, open_app, "naive")
