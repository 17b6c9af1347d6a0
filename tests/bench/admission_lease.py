"""What a decision from a lease costs in the router's own process, over a real admission service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc
from redis.asyncio import Redis

from trunkline_lease import LeaseHolder, open_lease_holder
from trunkline_lease.charge import Charge
from trunkline_mesh.deadline import Deadline

DECISIONS: Final = 40_000
BATCH: Final = 200
"""Decisions between two turns of the event loop, in which refills arrive."""
SEARCH: Final = Charge(1, 5)
REDIS_READS: Final = 500


async def lease_figures(
    channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], tenants: Sequence[str], redis: Redis
) -> dict[str, Any]:
    """Spend `DECISIONS` searches of several tenants from leases; return microseconds of one, and what they met."""
    async with open_lease_holder(channel, credential=lambda: metadata) as holder:
        for tenant in tenants:
            await holder.spend(tenant, SEARCH, Deadline.after(5.0))  # each has a lease then
        spent_s, at_once = 0.0, 0
        for number in range(DECISIONS // BATCH):
            batch_s, batch_at_once = _batch(holder, tenants[number % len(tenants)])
            spent_s, at_once = spent_s + batch_s, at_once + batch_at_once
            if batch_at_once < BATCH:
                await holder.spend(tenants[number % len(tenants)], SEARCH, Deadline.after(5.0))
            await asyncio.sleep(0)
        asks = holder.stats.asks
    began_s = time.perf_counter()
    for _ in range(REDIS_READS):
        await redis.get("nothing")
    redis_us = (time.perf_counter() - began_s) / REDIS_READS * 1e6
    return {
        "lease_us": round(spent_s / DECISIONS * 1e6, 2),
        "lease_decisions": DECISIONS,
        "lease_at_once": round(at_once / DECISIONS, 4),
        "lease_asks": asks,
        "redis_get_us": round(redis_us, 1),
    }


def _batch(holder: LeaseHolder, tenant: str) -> tuple[float, int]:
    """Make `BATCH` decisions; return the seconds they took, and how many needed no refill."""
    at_once = 0
    began_s = time.perf_counter()
    for _ in range(BATCH):
        at_once += holder.try_spend(tenant, SEARCH) is not None
    return time.perf_counter() - began_s, at_once
