"""Settling in batches: by size and by time, once more after a failure, and never without bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from tests.unit.lease.memory_service import eventually

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.common.v1 import error_reason_pb2 as reasons_pb
from trunkline_lease.settler import Settler, SettlerOptions


class Desk:
    """Who takes batches."""

    def __init__(self) -> None:
        self.batches: list[list[admission_pb.SettleRequest]] = []
        self.failures = 0
        self.unknown: set[str] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, requests: Sequence[admission_pb.SettleRequest]) -> Sequence[reasons_pb.ErrorReason.ValueType]:
        self.batches.append(list(requests))
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise OSError
        return [
            reasons_pb.ERROR_REASON_PERMIT_UNKNOWN
            if request.permit_id in self.unknown
            else reasons_pb.ERROR_REASON_UNSPECIFIED
            for request in requests
        ]


@asynccontextmanager
async def settling(desk: Desk, options: SettlerOptions) -> AsyncIterator[Settler]:
    settler = Settler(desk.send, options)
    running = asyncio.ensure_future(settler.run())
    try:
        yield settler
        settler.finish()
        async with asyncio.timeout(10):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


SOON = SettlerOptions(max_delay_s=0.01, retry_pause_s=0.01)


async def test_what_comes_together_is_sent_together() -> None:
    """Many settlements are one call; each keeps its cost and whether it was cancelled."""
    desk = Desk()
    async with settling(desk, SettlerOptions(max_delay_s=30.0, batch_size=3)) as settler:
        assert settler.settle("a", 1)
        assert settler.settle("b", 2, cancelled=True)
        assert settler.settle("c", 0)
        await eventually(lambda: settler.stats.settled == 3)

    assert [(one.permit_id, one.charged_tokens, one.cancelled) for one in desk.batches[0]] == [
        ("a", 1, False),
        ("b", 2, True),
        ("c", 0, False),
    ]


async def test_a_single_settlement_does_not_wait_for_others() -> None:
    """After the delay it is sent alone."""
    desk = Desk()
    async with settling(desk, SOON) as settler:
        settler.settle("a", 1)
        await eventually(lambda: settler.stats.settled == 1)


async def test_a_failed_call_is_repeated_once() -> None:
    """The second failure of a settlement gives it up, and it is counted."""
    desk = Desk()
    desk.failures = 1
    async with settling(desk, SOON) as settler:
        settler.settle("a", 1)
        await eventually(lambda: settler.stats.settled == 1)
        assert (settler.stats.retried, settler.stats.dropped) == (1, 0)

        desk.failures = 2
        settler.settle("b", 1)
        await eventually(lambda: settler.stats.dropped == 1)

    assert settler.stats.settled == 1


async def test_a_refused_settlement_is_not_repeated() -> None:
    """A permit that nobody knows stays unknown; the others of its batch are settled."""
    desk = Desk()
    desk.unknown = {"a"}
    async with settling(desk, SOON) as settler:
        settler.settle("a", 1)
        settler.settle("b", 1)
        await eventually(lambda: settler.stats.refused == 1)

    assert (settler.stats.settled, settler.stats.retried, len(desk.batches)) == (1, 0, 1)


async def test_what_waits_is_bounded() -> None:
    """One more than there is room for is dropped at once: its permit expires."""
    desk = Desk()
    async with settling(desk, SettlerOptions(max_waiting=2, max_delay_s=30.0)) as settler:
        assert [settler.settle(name, 1) for name in "abc"] == [True, True, False]

    assert (settler.stats.settled, settler.stats.dropped) == (2, 1)
    assert not settler.settle("d", 1)


async def test_the_end_sends_what_waits_however_much() -> None:
    """Closing does not wait for the delay and takes several batches if need be."""
    desk = Desk()
    async with settling(desk, SettlerOptions(max_delay_s=30.0, batch_size=4)) as settler:
        desk.gate.clear()
        for number in range(11):
            settler.settle(str(number), 1)
        await eventually(lambda: bool(desk.batches))
        desk.gate.set()

    assert settler.stats.settled == 11
    assert max(map(len, desk.batches)) <= 4


async def test_cancelling_counts_what_is_lost() -> None:
    """What was not sent by then is dropped, and told."""
    desk = Desk()
    settler = Settler(desk.send, SettlerOptions(max_delay_s=30.0))
    running = asyncio.ensure_future(settler.run())
    settler.settle("a", 1)
    await asyncio.sleep(0)

    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    assert settler.stats.dropped == 1


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"batch_size": 501}, {"max_waiting": 0}])
def test_bounds_that_make_no_sense_are_refused(options: dict[str, int]) -> None:
    """A batch must fit into the contract."""
    with pytest.raises(ValueError, match="batch_size"):
        SettlerOptions(**options)
