"""Is more admitted than allowed? Thousands of callers at once, several replicas, tenants with little quota."""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from tests.bench.floor import OPTIONS
from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_tiers import default_tiers

LOCAL_PART: Final = 0.5
"""Of the share without Redis, that all replicas together grant; docs/operations.md."""
CHANNELS_EACH: Final = 4
"""Connections to each replica: a hundred calls at a time go through one."""
TIMEOUT_S: Final = 8.0


@dataclass(frozen=True)
class OverAdmission:
    """What to try."""

    targets: Sequence[str]
    credentials: Mapping[str, tuple[tuple[str, str], ...]]
    """By tenant; all tenants have the same rate and their tier's burst."""
    rate_per_s: float
    callers: int
    seconds: float


@dataclass
class _Seen:
    granted: Counter[str] = field(default_factory=Counter)
    local: Counter[str] = field(default_factory=Counter)
    """Of them granted by a replica alone, because Redis took longer than its 50 ms."""
    refused: Counter[str] = field(default_factory=Counter)


def allowed(rate_per_s: float, seconds: float) -> float:
    """Return what a bucket may grant in a span: its burst and what refills."""
    share = default_tiers().tiers["enterprise"].tenant
    burst = max(1.0, (share.burst_factor - 1) * rate_per_s * share.burst_s)
    return burst + rate_per_s * seconds


def local_part() -> float:
    """Return what all replicas together may grant beside Redis, as a part of what is allowed: the documented bound."""
    return default_tiers().tiers["enterprise"].without_store_share * LOCAL_PART


async def over_admission(asked: OverAdmission) -> dict[str, Any]:
    """Let all callers ask without a pause; return what was admitted beyond what is allowed, and the bound on it."""
    seen, end_s = _Seen(), time.monotonic() + asked.seconds
    tenants = list(asked.credentials)
    request = admission_pb.AdmitRequest(cost_tokens=1)
    began_s = time.monotonic()
    async with AsyncExitStack() as stack:
        stubs: list[Any] = []
        for number, target in itertools.product(range(CHANNELS_EACH), asked.targets):
            options = [*OPTIONS, ("trunkline.channel", number)]
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(target, options=options))
            stubs.append(admission_grpc.AdmissionServiceStub(channel))

        async def caller(number: int) -> None:
            stub, tenant = stubs[number % len(stubs)], tenants[number % len(tenants)]
            while time.monotonic() < end_s:
                try:
                    answer = await stub.Admit(request, metadata=asked.credentials[tenant], timeout=TIMEOUT_S)
                    seen.granted[tenant] += 1
                    seen.local[tenant] += answer.permit.source == admission_pb.QUOTA_SOURCE_LOCAL
                except grpc.aio.AioRpcError as exc:
                    seen.refused[exc.code().name] += 1

        await asyncio.gather(*(caller(number) for number in range(asked.callers)))
    most = allowed(asked.rate_per_s, time.monotonic() - began_s)
    over = {tenant: max(0.0, seen.granted[tenant] - most) for tenant in tenants}
    by_store = {tenant: max(0.0, seen.granted[tenant] - seen.local[tenant] - most) for tenant in tenants}
    sys.stderr.write(f"granted {dict(seen.granted)} of {most:.0f} each, refused {dict(seen.refused)}\n")
    return {
        "callers": asked.callers,
        "over_admitted": round(max(over.values()), 1),
        "over_admit_bound": round(local_part() * most, 1),
        "over_admitted_by_store": round(max(by_store.values()), 1),
        "local_grants": sum(seen.local.values()),
        "allowed_each": round(most, 1),
        "granted_to_allowed": round(sum(seen.granted.values()) / (most * len(tenants)), 4),
        "over_refused": sum(seen.refused.values()),
    }
