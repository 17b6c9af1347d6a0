"""Composition of the admission service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from redis.asyncio import Redis

from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_admission.guarded_quota import GuardedQuota
from trunkline_admission.leases import Leases
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.permits import Permits
from trunkline_admission.policy import POLICY, SERVICE
from trunkline_admission.redis_quota import RedisQuota, open_redis
from trunkline_admission.servicer import AdmissionServicer
from trunkline_admission.settings import AdmissionSettings
from trunkline_admission.tenants import TenantQuotas
from trunkline_map.source import MapSource
from trunkline_map.watcher import open_map_watcher
from trunkline_mesh.app import MeshApp, ServiceBinding
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY


@asynccontextmanager
async def open_app(settings: AdmissionSettings) -> AsyncIterator[MeshApp]:
    """Open the map and the quota store, yield the application, close both in reverse. Waits for neither."""
    async with open_map_watcher(settings.etcd_access()) as source, open_quotas(settings) as quotas:
        yield compose(settings, source, quotas)


@asynccontextmanager
async def open_quotas(settings: AdmissionSettings) -> AsyncIterator[GuardedQuota]:
    """Open the quota store behind its breaker, with the local share as fallback."""
    url, timeout_s = settings.redis_url.get_secret_value(), settings.redis_timeout_s
    async with open_redis(url, timeout_s=timeout_s, max_connections=settings.redis_connections) as client:
        quotas = GuardedQuota(
            _authority(client, settings),
            _local(settings),
            _breaker(settings),
            max_under_way=settings.redis_connections,
        )
        try:
            yield quotas
        finally:
            await quotas.aclose()


def compose(settings: AdmissionSettings, source: MapSource, quotas: GuardedQuota) -> MeshApp:
    """Wire the service around a map and the quotas. Does no I/O."""
    tenants = TenantQuotas(source, settings.tiers)
    servicer = AdmissionServicer(
        Permits(tenants, quotas),
        Leases(tenants, quotas, valid_s=settings.lease_valid_s, max_tenants=settings.max_lease_tenants),
        replica=settings.replica,
        lease_valid_s=settings.lease_valid_s,
    )
    binding = ServiceBinding(
        service=SERVICE,
        servicer=servicer,
        register=admission_grpc.add_AdmissionServiceServicer_to_server,
        policy=POLICY,
    )
    # Without Redis the service still answers, so Redis decides nothing about readiness.
    return MeshApp(
        name="admission",
        bindings=(binding,),
        checks={"map": source.ready},
        soft_checks={"redis": quotas.authority_ready},
    )


def _authority(client: Redis, settings: AdmissionSettings) -> RedisQuota:
    return RedisQuota(
        client,
        key_prefix=settings.key_prefix,
        permit_ttl_s=settings.permit_ttl_s,
        timeout_s=settings.redis_timeout_s,
    )


def _local(settings: AdmissionSettings) -> LocalQuota:
    return LocalQuota(
        replicas=settings.replicas,
        permit_ttl_s=settings.permit_ttl_s,
        max_tenants=settings.max_local_tenants,
        max_permits=settings.max_local_permits,
    )


def _breaker(settings: AdmissionSettings) -> Breaker:
    # The adapter's own timeout says what is too slow. A stall of this process is no evidence against the store.
    policy = replace(QUOTA_POLICY, slow_call_s=10 * settings.redis_timeout_s)
    return Breaker(f"redis/{settings.region}/quota", policy)
