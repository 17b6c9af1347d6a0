"""What a decision from a lease costs in the router's own process, over a real admission service."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any, Final

import grpc
from redis.asyncio import Redis

from trunkline_lease import LeaseHolder, open_lease_holder
from trunkline_lease.charge import Charge
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import QuotaExhausted

DECISIONS: Final = 40_000
BATCH: Final = 200
"""Decisions between two turns of the event loop, in which refills arrive."""
SEARCH: Final = Charge(1, 5)
PAUSE_S: Final = 0.02
REDIS_READS: Final = 500


async def lease_figures(
    channel: grpc.aio.Channel, metadata: tuple[tuple[str, str], ...], tenants: Sequence[str], redis: Redis
) -> dict[str, Any]:
    """Spend `DECISIONS` searches of several tenants from leases; return microseconds of one, and what they met."""
    async with open_lease_holder(channel, credential=lambda: metadata) as holder:
        spent_s, decided, refills = 0.0, 0, 0
        for tenant in itertools.cycle(tenants):
            batch_s, at_once = _batch(holder, tenant)
            spent_s, decided = spent_s + batch_s, decided + at_once
            if decided >= DECISIONS:
                break
            if at_once < BATCH:
                refills += 1
                await _refill(holder, tenant)
            await asyncio.sleep(0)
        asks = holder.stats.asks
    began_s = time.perf_counter()
    for _ in range(REDIS_READS):
        await redis.get("nothing")
    redis_us = (time.perf_counter() - began_s) / REDIS_READS * 1e6
    return {
        "lease_us": round(spent_s / decided * 1e6, 2),
        "lease_decisions": decided,
        "lease_asks": asks,
        "lease_waits": refills,
        "redis_get_us": round(redis_us, 1),
    }


def _batch(holder: LeaseHolder, tenant: str) -> tuple[float, int]:
    """Make up to `BATCH` decisions, as many as the lease has tokens for; return the seconds and their number."""
    spend, count = holder.try_spend, 0
    began_s = time.perf_counter()
    while count < BATCH and spend(tenant, SEARCH) is not None:
        count += 1
    return time.perf_counter() - began_s, count


async def _refill(holder: LeaseHolder, tenant: str) -> None:
    """Wait as a caller does until the lease has tokens again; those who ask too quickly are refused for a moment."""
    while True:
        try:
            await holder.spend(tenant, SEARCH, Deadline.after(5.0))
        except QuotaExhausted:
            await asyncio.sleep(PAUSE_S)
        else:
            return
