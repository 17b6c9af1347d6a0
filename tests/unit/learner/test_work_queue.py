"""Tenants that wait."""

from __future__ import annotations

import asyncio

from trunkline_routing.learner.work_queue import FIRST_PAUSE_S, LONGEST_PAUSE_S, WorkQueue


async def test_each_tenant_waits_once_and_in_turn() -> None:
    """One that changes ten times does not keep others waiting."""
    queue = WorkQueue()
    for name in ("a", "a", "b", "a", "c"):
        queue.add(name)
    assert [await queue.next() for _ in range(3)] == ["a", "b", "c"]
    assert len(queue) == 0


async def test_a_failure_comes_again_after_a_pause_that_doubles() -> None:
    """Up to a bound."""
    now = 0.0
    queue = WorkQueue(lambda: now)
    pauses = []
    for _ in range(12):
        pauses.append(queue.failed("a"))
        now += pauses[-1]
        assert await queue.next() == "a"
    assert pauses[:3] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S]
    assert pauses[-1] == LONGEST_PAUSE_S


async def test_a_change_ends_the_pause() -> None:
    """What failed may work now; and it does not come a second time when the pause would have ended."""
    now = 0.0
    queue = WorkQueue(lambda: now)
    queue.failed("a")
    queue.add("a")
    assert await queue.next() == "a"
    now = 2 * FIRST_PAUSE_S
    queue.add("b")
    assert await queue.next() == "b"
    assert len(queue) == 0


async def test_next_waits_until_somebody_comes() -> None:
    """Without asking again and again."""
    queue = WorkQueue()
    waiting = asyncio.ensure_future(queue.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add("a")
    assert await waiting == "a"
