"""How late the event loop wakes: one blocked handler delays every other call of the process."""

from __future__ import annotations

import asyncio
from typing import Final

from trunkline_mesh import metrics

TICK_S: Final = 0.05

_LAG = metrics.gauge("loop_lag_seconds", "How much later than asked the event loop woke at the last tick.")


async def watch_loop_lag() -> None:
    """Measure until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + TICK_S
        await asyncio.sleep(TICK_S)
        _LAG.set(max(0.0, loop.time() - due_s))
