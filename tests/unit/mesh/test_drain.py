"""Long streams end when the server drains."""

from __future__ import annotations

import asyncio

import pytest

from trunkline_mesh.drain import Drain
from trunkline_mesh.errors import Draining


async def test_a_stream_under_way_ends_with_draining() -> None:
    """The peer learns that it must look elsewhere, at once and not after the grace."""
    drain, began = Drain(), asyncio.Event()

    async def stream() -> None:
        async with drain.stream():
            began.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stream())
    await began.wait()
    drain.begin()

    with pytest.raises(Draining):
        await task


async def test_a_later_stream_is_refused() -> None:
    """Nothing new begins on a server that drains."""
    drain = Drain()
    drain.begin()

    with pytest.raises(Draining):
        async with drain.stream():
            pytest.fail("the stream must not begin")


async def test_a_timeout_of_the_stream_itself_stays_one() -> None:
    """Only the drain's own end reads as DRAINING."""
    with pytest.raises(TimeoutError):
        async with Drain().stream():
            raise TimeoutError


async def test_a_stream_that_ended_leaves_nothing_behind() -> None:
    """Draining later touches no finished stream."""
    drain = Drain()
    async with drain.stream():
        pass

    drain.begin()

    assert not drain._streams
