"""How late the event loop wakes: one blocked handler delays every other call of the process."""

from __future__ import annotations

import asyncio

from trunkline_mesh import metrics
from trunkline_mesh.stall import PROCESS_STALLS, TICK_S

_LAG = metrics.gauge("loop_lag_seconds", "How much later than asked the event loop woke at the last tick.")


async def watch_loop_lag() -> None:
    """Measure until cancelled, and keep the process's stall detector informed."""
    loop = asyncio.get_running_loop()
    PROCESS_STALLS.begin()
    try:
        while True:
            due_s = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            PROCESS_STALLS.tick()
            _LAG.set(max(0.0, loop.time() - due_s))
    finally:
        PROCESS_STALLS.end()
