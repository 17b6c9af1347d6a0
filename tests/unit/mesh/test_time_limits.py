"""One timer ends all calls, each at its time, and nobody else's cancellation is taken for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from trunkline_mesh.errors import DeadlineExceeded
from trunkline_mesh.time_limits import TimeLimits

LONG_S = 60.0


def now_s() -> float:
    return asyncio.get_running_loop().time()


async def limited(limits: TimeLimits, at_s: float, ends: list[float] | None = None) -> None:
    """Wait for ever within a limit; note the limit when it ends the call."""
    try:
        with limits.until(at_s):
            await asyncio.Event().wait()
    except DeadlineExceeded:
        if ends is not None:
            ends.append(at_s)
        raise


@pytest.fixture
async def lasting() -> AsyncIterator[TimeLimits]:
    """Limits of which one call, far from its end, is under way."""
    limits = TimeLimits()
    call = asyncio.ensure_future(limited(limits, now_s() + LONG_S))
    await asyncio.sleep(0)
    yield limits
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_calls_end_in_the_order_of_their_deadlines(lasting: TimeLimits) -> None:
    """In whatever order they came, beside one that goes on; none before its time."""
    began_s, ends = now_s(), list[float]()
    at = [began_s + part for part in (0.03, 0.01, 0.02, 0.01, 0.04)]
    told = await asyncio.gather(*(limited(lasting, end_s, ends) for end_s in at), return_exceptions=True)
    assert [type(one) for one in told] == [DeadlineExceeded] * len(at)
    assert ends == sorted(at)
    assert now_s() >= max(at)


async def test_what_has_passed_ends_at_once(lasting: TimeLimits) -> None:
    """At its first wait."""
    with pytest.raises(DeadlineExceeded):
        await limited(lasting, now_s() - 1)


async def test_the_timer_comes_back_after_calls_that_ended_in_time(lasting: TimeLimits) -> None:
    """It may fire for a call that is gone, and still ends the next one."""
    with lasting.until(now_s() + 0.01):
        pass
    with pytest.raises(DeadlineExceeded):
        await limited(lasting, now_s() + 0.02)


async def test_a_call_that_ends_in_time_is_not_touched() -> None:
    """Nor is its task, afterwards."""
    limits = TimeLimits()
    with limits.until(now_s() + 0.01):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)


async def test_a_cancellation_by_somebody_else_goes_on() -> None:
    """A caller that hangs up is no deadline."""
    call = asyncio.ensure_future(limited(TimeLimits(), now_s() + LONG_S))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert call.cancelled()


async def test_both_at_once_is_a_cancellation() -> None:
    """Whoever hung up needs no answer."""
    call = asyncio.ensure_future(limited(TimeLimits(), now_s() - 1))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def test_limits_nest() -> None:
    """The inner one ends its block alone, and the task goes on."""
    outer, inner = TimeLimits(), TimeLimits()
    with outer.until(now_s() + LONG_S):
        with pytest.raises(DeadlineExceeded), inner.until(now_s()):
            await asyncio.Event().wait()
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def fail_when_ended(limits: TimeLimits) -> None:
    with limits.until(now_s() - 1):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("mine") from None


async def test_an_error_of_the_call_stays_one() -> None:
    """What fails while it is ended tells its own reason."""
    with pytest.raises(ValueError, match="mine"):
        await fail_when_ended(TimeLimits())
