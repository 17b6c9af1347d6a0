"""A router that is told to end: what runs is finished, and the process is gone in bounded time with exit code 0."""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import suppress
from functools import partial

from tests.e2e import world
from tests.e2e.place import LONG_S, Place, health, until

from trunkline_client import RouterAddress, TrunklineClient, Unavailable
from trunkline_local import Service
from trunkline_local.addresses import Listener
from trunkline_local.readiness import eventually, grpc_serving, http_get

ROUTER = "second-router"
SETTLE_AND_GRACE_S = 0.5 + 10.0
EXIT_MARGIN_S = 5.0
"""For closing what was opened and for the interpreter to end, on a busy machine."""


async def _in_flight(listener: Listener) -> int:
    _, page = await http_get(f"127.0.0.1:{listener.metrics_port}", "/metrics")
    found = re.search(rb'trunkline_calls_in_flight\{method="[^"]*RoutingService/Search"\} ([0-9.]+)', page)
    return int(float(found.group(1))) if found else 0


async def test_sigterm_finishes_what_runs(place: Place) -> None:
    """Searches that wait for a frozen region when SIGTERM comes are answered once it goes on; the exit code is 0."""
    listener = await place.stack.add(ROUTER, world.US, Service.ROUTING)
    try:
        assert await eventually(partial(grpc_serving, listener.endpoint), within_s=30.0)
        async with TrunklineClient([RouterAddress(world.US, listener.endpoint)], place.token()) as client:
            search = partial(client.search, "lighthouse", collections=["far"], deadline_s=LONG_S)
            await search()
            place.stack.pause_region(world.EU)
            try:
                waiting = [asyncio.ensure_future(search()) for _ in range(3)]
                await until(partial(_in_flight, listener), len(waiting).__eq__, every_s=0.01)
                began_s = time.monotonic()
                stopping = asyncio.ensure_future(place.stack.stop(ROUTER))
                with suppress(AssertionError):  # any longer, and the frozen region would be taken for lost
                    await until(partial(health, listener.endpoint), False.__eq__, within_s=0.4, every_s=0.01)
            finally:
                place.stack.resume_region(world.EU)
            answers = await asyncio.gather(*waiting)
            await stopping
            took_s = time.monotonic() - began_s
            gone = await asyncio.gather(search(), return_exceptions=True)
    finally:
        await place.stack.stop(ROUTER)
    assert [answer.hits[0].document_id for answer in answers] == ["lighthouse"] * len(answers)
    assert place.record(ROUTER).exit_code == 0
    assert took_s < SETTLE_AND_GRACE_S + EXIT_MARGIN_S
    assert isinstance(gone[0], Unavailable)
