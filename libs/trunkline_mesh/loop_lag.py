"""How late the event loop wakes: one blocked handler delays every other call of the process."""

from __future__ import annotations

import asyncio

from trunkline_mesh import metrics
from trunkline_mesh.logs import get_logger
from trunkline_mesh.stall import PROCESS_STALLS, STALL_S, TICK_S

log = get_logger("loop")

_LAG = metrics.gauge("loop_lag_seconds", "How much later than asked the event loop woke at the last tick.")
_STALLS = metrics.counter("process_stalls", "Times that the event loop was silent for over a second.")


async def watch_loop_lag() -> None:
    """Measure until cancelled, and keep the process's stall detector informed."""
    loop = asyncio.get_running_loop()
    PROCESS_STALLS.begin()
    try:
        while True:
            due_s = loop.time() + TICK_S
            await asyncio.sleep(TICK_S)
            PROCESS_STALLS.tick()
            lag_s = max(0.0, loop.time() - due_s)
            _LAG.set(lag_s)
            if lag_s > STALL_S:
                _STALLS.inc()
                log.warning("process stalled", seconds=round(lag_s, 3))
    finally:
        PROCESS_STALLS.end()
