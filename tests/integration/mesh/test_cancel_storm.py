"""After many callers left at any moment, nothing is left of their calls."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import grpc
from prometheus_client import REGISTRY
from tests.integration.mesh.caller import eventually
from tests.integration.mesh.conftest import Serve
from tests.integration.mesh.probe import SERVICE, SHAPES

CALLS = 400
SLOTS = 4


def in_flight() -> float:
    """Return the calls that the metrics believe to run."""
    values = (
        REGISTRY.get_sample_value("trunkline_calls_in_flight", {"method": f"/{SERVICE}/{shape}"}) for shape in SHAPES
    )
    return sum(value or 0.0 for value in values)


async def test_no_slot_and_no_gauge_survives_a_storm_of_cancels(serve: Serve) -> None:
    """A tenth of the callers stay; afterwards every slot is free again and every count is back."""
    rng = random.Random(7)

    async def work(text: str, _context: Any) -> str:
        await asyncio.sleep(0.002)
        return text

    ours = await serve(work, max_concurrency=SLOTS, max_queue=50, max_queue_per_tenant=50)
    await ours.caller.call()
    before = in_flight()
    for _ in range(CALLS // 20):
        tasks = [asyncio.create_task(ours.caller.call(shape=rng.choice(SHAPES))) for _ in range(20)]
        for task in rng.sample(tasks, 18):
            asyncio.get_running_loop().call_later(rng.uniform(0.0, 0.02), task.cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        kinds = {type(result) for result in results if isinstance(result, BaseException)}
        assert kinds <= {asyncio.CancelledError}
    await eventually(lambda: in_flight() == before)

    together = asyncio.Barrier(SLOTS)

    async def meet(text: str, _context: Any) -> str:
        await together.wait()
        return text

    ours.servicer.behaviour = meet
    answers = await asyncio.gather(*(ours.caller.call() for _ in range(SLOTS)))
    assert {answer.code for answer in answers} == {grpc.StatusCode.OK}
