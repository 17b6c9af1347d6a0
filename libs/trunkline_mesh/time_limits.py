"""Ends calls at their deadlines as `asyncio.timeout` does, with one timer for all calls of a method.

A timer of its own, set and cancelled again, takes 10 us of each call, and nearly all calls end long before. One timer
at the earliest end is moved only when a call comes that ends earlier still, or when it fires.
"""

from __future__ import annotations

import asyncio
import math
from typing import Any, Final

from trunkline_mesh.errors import DeadlineExceeded
from trunkline_mesh.request import current_request
from trunkline_mesh.stage import Context, Handler, MethodStages


class TimeLimit:
    """The end of one call; made by `TimeLimits.until`, entered once, in the call's task."""

    __slots__ = ("_cancelling", "_limits", "_task", "at_s", "over")

    def __init__(self, limits: TimeLimits, at_s: float) -> None:
        """End at `at_s`, in the event loop's time."""
        self._limits = limits
        self.at_s = at_s
        self.over = False
        """True once the call's task was cancelled for it."""

    def __enter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None, "only a task can be ended"
        self._task = task
        self._cancelling = task.cancelling()
        self._limits.add(self)

    def __exit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        """Raise DeadlineExceeded if that, and nothing else, is what cancelled the call."""
        self._limits.discard(self)
        # A cancellation by somebody else goes on.
        if self.over and self._task.uncancel() <= self._cancelling and exc_type is asyncio.CancelledError:
            raise DeadlineExceeded from None

    def expire(self) -> None:
        """Cancel the call's task."""
        self.over = True
        self._task.cancel()


class TimeLimits:
    """The ends of the calls under way. One event loop owns it; made without one."""

    def __init__(self) -> None:
        """Begin with no call."""
        self._open: Final[set[TimeLimit]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._looks_at_s = math.inf

    def until(self, at_s: float) -> TimeLimit:
        """Return what ends the block that it is entered for at `at_s`, in the event loop's time; it may have passed.

        Leaving the block raises DeadlineExceeded then, in place of CancelledError.
        """
        return TimeLimit(self, at_s)

    def add(self, limit: TimeLimit) -> None:
        """Watch a call's end."""
        self._open.add(limit)
        if limit.at_s < self._looks_at_s:
            self._look_at(limit.at_s)

    def discard(self, limit: TimeLimit) -> None:
        """Forget a call that has ended. The timer stays: it will look for the next end."""
        self._open.discard(limit)

    def _look_at(self, at_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(at_s, self._look)
        self._looks_at_s = at_s

    def _look(self) -> None:
        """Expire what is due, and come back for the next."""
        now_s = asyncio.get_running_loop().time()
        self._timer, self._looks_at_s = None, math.inf
        for limit in self._open:
            if limit.at_s <= now_s and not limit.over:
                limit.expire()
        next_s = min((limit.at_s for limit in self._open if not limit.over), default=math.inf)
        if next_s < math.inf:
            self._look_at(next_s)


def deadline_stage(method: MethodStages, inner: Handler) -> Handler:
    """Refuse what has no time left to be done, and enforce the cap where the caller set no shorter deadline."""
    floor_s = method.policy.floor_s if method.policy is not None else 0.0
    limits = TimeLimits()

    async def bounded(request: Any, context: Context) -> Any:
        scope = current_request()
        scope.deadline.require(floor_s)
        if not scope.deadline_capped:
            return await inner(request, context)  # gRPC itself cancels at the caller's deadline
        try:
            with limits.until(scope.deadline.at_s):
                return await inner(request, context)
        except TimeoutError:
            if scope.deadline.expired():
                raise DeadlineExceeded from None
            raise

    return bounded
