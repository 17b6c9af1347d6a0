"""Opens the region's own authority: the store behind its breaker, with the local share as fallback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from trunkline_admission.even_parts import TierSizes
from trunkline_admission.guarded_quota import GuardedQuota
from trunkline_admission.local_quota import LocalQuota
from trunkline_admission.redis_quota import RedisQuota
from trunkline_admission.redis_scripts import RedisScripts, open_redis
from trunkline_admission.settings import AdmissionSettings
from trunkline_map.source import MapSource
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import QUOTA_POLICY
from trunkline_tiers import TierFile


@dataclass(frozen=True, slots=True)
class Authority:
    """What the region keeps its quotas with."""

    quotas: GuardedQuota
    local: LocalQuota
    scripts: RedisScripts


@asynccontextmanager
async def open_authority(settings: AdmissionSettings, tiers: TierFile, source: MapSource) -> AsyncIterator[Authority]:
    """Open the region's store, for the tenants of the map.

    Does not need it to be there; gives back at the end what is held of the pools.
    """
    url, timeout_s = settings.redis_url.get_secret_value(), settings.redis_timeout_s
    async with open_redis(url, timeout_s=timeout_s, max_connections=settings.redis_connections) as client:
        scripts = RedisScripts(client, timeout_s=timeout_s)
        sizes = TierSizes(source, tiers, settings.region)
        store = RedisQuota(scripts, tiers, key_prefix=settings.key_prefix, tenants_of=sizes.of)
        local = LocalQuota(replicas=settings.replicas, max_tenants=settings.max_local_tenants)
        breaker = store_breaker(settings, "quota")
        quotas = GuardedQuota(store, local, breaker, max_under_way=settings.redis_connections)
        try:
            yield Authority(quotas, local, scripts)
        finally:
            await quotas.aclose()
            await store.aclose()


def store_breaker(settings: AdmissionSettings, use: str) -> Breaker:
    """Return a breaker for one use of the region's store."""
    # The adapter's own timeout says what is too slow. A stall of this process is no evidence against the store.
    policy = replace(QUOTA_POLICY, slow_call_s=10 * settings.redis_timeout_s)
    return Breaker(f"redis/{settings.region}/{use}", policy)
