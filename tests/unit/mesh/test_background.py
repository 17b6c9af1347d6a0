"""Work that runs beside something else: it ends with it, and neither hides the other's end."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY

from trunkline_mesh.background import background, goes_on


async def _stubborn(started: asyncio.Event, may_end: asyncio.Event, ended: asyncio.Event) -> None:
    """Work that takes its time to be cancelled."""
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        await may_end.wait()
        ended.set()


async def test_work_is_cancelled_and_awaited_at_the_end() -> None:
    """When the context is left, nothing of the work is left."""
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    may_end.set()

    async with background(_stubborn(started, may_end, ended)) as task:
        await started.wait()

    assert ended.is_set()
    assert task.cancelled()


async def test_a_cancel_of_the_caller_while_it_closes_is_not_swallowed() -> None:
    """Whoever closes the context can be cancelled meanwhile, and ends as cancelled."""
    started, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    leaving = asyncio.Event()
    after = []

    async def owner() -> None:
        async with background(_stubborn(started, may_end, ended)):
            await started.wait()
            leaving.set()
        after.append("went on")

    task = asyncio.create_task(owner())
    await leaving.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()
    await ended.wait()

    assert task.cancelled()
    assert after == []


async def test_failed_work_ends_without_the_body_and_raises_nothing() -> None:
    """The body goes on beside work that failed, and closing raises nothing of it."""

    async def fail() -> None:
        raise ConnectionError("gone")

    before = failures(fail.__qualname__, "ended")
    async with background(fail()) as task:
        await asyncio.wait((task,))

    assert isinstance(task.exception(), ConnectionError)
    assert failures(fail.__qualname__, "ended") == before + 1


def failures(work: str, end: str) -> float:
    """Return how often work has failed, as the metric tells."""
    labels = {"work": work, "end": end}
    return REGISTRY.get_sample_value("trunkline_background_failures_total", labels) or 0.0


async def test_a_guarded_loop_goes_on_after_an_error_and_ends_when_it_is_cancelled() -> None:
    """Errors are counted; a cancellation is none."""
    turns = 0

    async def loop() -> None:
        nonlocal turns
        while True:
            with goes_on("test"):
                turns += 1
                raise ValueError(turns)
            await asyncio.sleep(0)

    before = failures("test", "goes_on")
    async with background(loop()) as task:
        while turns < 3:  # noqa: ASYNC110 - a turn of the loop is what is waited for
            await asyncio.sleep(0)

    assert task.cancelled()
    assert failures("test", "goes_on") >= before + 3


async def test_an_error_of_the_body_arrives() -> None:
    """What the body raises is what the caller gets."""
    with pytest.raises(KeyError):
        async with background(asyncio.Event().wait()):  # type: ignore[arg-type]  # what it returns does not matter
            raise KeyError("body")
