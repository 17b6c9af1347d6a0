"""How quickly rules decide by size of policy, and a remembered decision against one look-up in Valkey."""

from __future__ import annotations

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from redis.asyncio import Redis

from tests.bench.policies import QUESTIONS, bench_policy
from trunkline.common.v1 import trail_pb2 as trail_pb
from trunkline_local.errors import BinaryMissingError
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.valkey import start_valkey
from trunkline_policy.logical import LogicalStage
from trunkline_policy.normal import normalise
from trunkline_routing.edge.decision_cache import Basis, DecisionCache, Key
from trunkline_routing.edge.model import Decision

ROUNDS: Final = 7
CALLS: Final = 2_000


def microseconds(call: Callable[[], object]) -> float:
    """Return the time of a call: the median of several rounds' means."""
    rounds = []
    for _ in range(ROUNDS):
        started_s = time.perf_counter()
        for _ in range(CALLS):
            call()
        rounds.append((time.perf_counter() - started_s) / CALLS)
    return round(statistics.median(rounds) * 1e6, 2)


def logical_us(count: int) -> float:
    """Return the time of a decision by rules for a policy of so many collections."""
    stage = LogicalStage(bench_policy(count))
    rounds = itertools.cycle(QUESTIONS)
    return microseconds(lambda: stage.decide(next(rounds)))


def cache_hit_us() -> float:
    """Return the time in which the router finds a remembered decision, its key made from the query's text."""
    cache = DecisionCache(size=10_000)
    basis = Basis((), None)
    decision = Decision(trail_pb.STRATEGY_SEMANTIC, 0.9, ())
    for number in range(5_000):
        cache.put(Key("bench", "policy", f"question {number}"), basis, decision, 3_600)
    text = QUESTIONS[0]
    cache.put(Key("bench", "policy", normalise(text)), basis, decision, 3_600)
    return microseconds(lambda: cache.get(Key("bench", "policy", normalise(text)), basis))


async def redis_get_us() -> float | None:
    """Return the time of one look-up in a Valkey on this machine, for comparison; None where there is none."""
    ports = PortAllocator()
    try:
        with tempfile.TemporaryDirectory(prefix="trunkline-bench-") as folder:
            async with ProcessHost() as host:
                valkey = await start_valkey(host, ports, Path(folder))
                return await _look_up_us(valkey.url)
    except BinaryMissingError:
        return None
    finally:
        ports.close()


async def _look_up_us(url: str) -> float:
    client = Redis.from_url(url)
    try:
        await client.set("decision", b"x" * 200)
        times = []
        for _ in range(CALLS):
            started_s = time.perf_counter()
            await client.get("decision")
            times.append(time.perf_counter() - started_s)
        return round(statistics.median(times) * 1e6, 1)
    finally:
        await client.aclose()


def speeds() -> dict[str, Any]:
    """Return all figures. Starts a process, so it runs on the main thread."""
    return {
        "logical_us_20": logical_us(20),
        "logical_us_1000": logical_us(1_000),
        "cache_hit_us": cache_hit_us(),
        "redis_get_us": asyncio.run(redis_get_us()),
    }
