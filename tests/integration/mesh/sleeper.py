"""A process that makes slow calls through a breaker: `python -m tests.integration.mesh.sleeper`.

It says `ready` once calls are under way, ends them when a line comes in, and prints the breaker's state and whether the
process knows that it slept.
"""

from __future__ import annotations

import asyncio
import sys
import time

from trunkline_mesh.background import background
from trunkline_mesh.breaker import Breaker
from trunkline_mesh.breaker_policy import BreakerPolicy
from trunkline_mesh.errors import BackendTimeout
from trunkline_mesh.logs import configure_logs
from trunkline_mesh.loop_lag import watch_loop_lag
from trunkline_mesh.stall import PROCESS_STALLS

CALLS = 5


async def main() -> None:
    """Do it."""
    policy = BreakerPolicy(consecutive_failures=CALLS, slow_call_s=1.0)
    breaker = Breaker("dependency", policy)
    release = asyncio.Event()

    async def call() -> None:
        await release.wait()
        raise BackendTimeout

    async with background(watch_loop_lag()):
        started_s = time.monotonic()
        calls = [asyncio.ensure_future(breaker.call(call)) for _ in range(CALLS)]
        await asyncio.sleep(0)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        release.set()
        await asyncio.gather(*calls, return_exceptions=True)
        sys.stdout.write(f"{breaker.state} {PROCESS_STALLS.excuses(started_s)}\n")


if __name__ == "__main__":
    configure_logs(service="sleeper", region="local", level="error", hash_key="key")
    asyncio.run(main())
