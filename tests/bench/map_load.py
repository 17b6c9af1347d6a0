"""One process that loads a map from etcd and looks things up in it: `python -m tests.bench.map_load ENDPOINT TENANTS`.

Prints one JSON object. Run in a process of its own, so that memory and time are the map's alone.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench.map_seed import PER_TENANT, tenant_id
from trunkline_map.snapshot import MapSnapshot
from trunkline_map.watcher import open_map_watcher

LOOKUPS: Final = 200_000
_PAGE_BYTES: Final = 4096


async def load(endpoint: str, tenants: int) -> dict[str, float | int]:
    """Return the seconds from opening the watcher until it is ready, the memory it took, and look-up times."""
    gc.collect()
    before_bytes = _resident_bytes()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    async with open_map_watcher([endpoint]) as watcher:
        assert await watcher.wait_ready(120)
        load_s = time.perf_counter() - began_s
        cpu_s = time.process_time() - cpu_s
        taken_bytes = _resident_bytes() - before_bytes
        snapshot = watcher.snapshot
        collections = sum(len(snapshot.collections_of(tenant.tenant_id)) for tenant in snapshot.tenants())
        times_us = look_up(snapshot, tenants)
    return {
        "collections": collections,
        "tenants": len(list(snapshot.tenants())),
        "load_s": round(load_s, 3),
        "load_cpu_s": round(cpu_s, 3),
        "bytes_per_collection": round(taken_bytes / collections),
        "lookup_us_p50": round(times_us[len(times_us) // 2], 2),
        "lookup_us_p99": round(times_us[len(times_us) * 99 // 100], 2),
    }


def look_up(snapshot: MapSnapshot, tenants: int) -> list[float]:
    """Return the microseconds of LOOKUPS look-ups of random collections, sorted; reading the clock is included."""
    rng = random.Random(1)
    names = [(tenant_id(rng.randrange(tenants)), f"collection-{rng.randrange(PER_TENANT):02d}") for _ in range(LOOKUPS)]
    times_ns = []
    for tenant, collection in names:
        began_ns = time.perf_counter_ns()
        found = snapshot.collection(tenant, collection)
        times_ns.append(time.perf_counter_ns() - began_ns)
        assert found is not None
    return [taken_ns / 1000 for taken_ns in sorted(times_ns)]


def _resident_bytes() -> int:
    """Return the memory that this process holds. Source: proc(5), /proc/pid/statm, second field, in pages."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(load(sys.argv[1], int(sys.argv[2])))) + "\n")
