"""An event loop in virtual time: when nothing is ready, the clock jumps to the next timer. No I/O, no waiting.

The order of everything is that of the calls: timers of one instant run in the order in which they were set. Nothing
reads the wall clock, so a run is a pure function of its inputs.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DeadlineExceeded

_MAX_CANCELLED: Final = 10_000
"""Cancelled timers that the heap may hold beyond the live ones, before it is rebuilt."""


TICK_S: Final = 1e-6
"""Shortest time that passes until a timer runs: whoever waits for a remainder of rounding would stand still else."""


class Deadlocked(RuntimeError):  # noqa: N818 - states what happened
    """Nothing is ready, no timer is set, and the main task still waits: virtual time cannot go on."""


def _nobody(_number: int) -> None:
    """Arrive where nobody is fed."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks and timers as asyncio's own loops do, but its time is a number that jumps."""

    def __init__(self, start_s: float = 0.0) -> None:
        """Begin at `start_s` of the loop's own time."""
        super().__init__()
        self._now_s = start_s
        self._timers: list[tuple[float, int, events.TimerHandle | asyncio.Future[None]]] = []
        self._order = 0
        self._cancelled = 0
        self._ready: deque[events.Handle]
        self._arrivals: Sequence[float] = ()
        self._arriving: Callable[[int], None] = _nobody
        self._next_arrival = 0
        self._due_at_s = math.inf
        self._fed: asyncio.Future[None] = asyncio.Future(loop=self)
        self.before_jump: Callable[[], None] | None = None
        """Called each time everything of an instant is done, before the clock moves on."""

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.Handle:
        """Run `callback` in this instant, after what is ready already."""
        handle = events.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        """Run `callback` at `when`."""
        timer = events.TimerHandle(when, callback, args, self, context)
        timer._scheduled = True  # type: ignore[attr-defined]
        self._order += 1
        heapq.heappush(self._timers, (when, self._order, timer))
        return timer

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.TimerHandle:
        """Run `callback` after `delay` seconds."""
        return self.call_at(self._now_s + max(delay, TICK_S), callback, *args, context=context)

    def sleep(self, delay_s: float) -> asyncio.Future[None]:
        """Return a future that is done after `delay_s`: what `asyncio.sleep` does, for a third of its price."""
        waiting: asyncio.Future[None] = asyncio.Future(loop=self)
        self._order += 1
        heapq.heappush(self._timers, (self._now_s + delay_s, self._order, waiting))
        return waiting

    def _timer_handle_cancelled(self, _handle: events.TimerHandle) -> None:
        self._cancelled += 1

    def _run_once(self) -> None:
        """Run what is ready; if nothing is, go to the next instant that has a timer."""
        ready = self._ready
        if not ready:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()
        if self._due_at_s <= self._now_s:
            self._arrive()

    def feed(self, times_s: Sequence[float], arrive: Callable[[int], None]) -> asyncio.Future[None]:
        """Call `arrive` with 0, 1, ... at the times given, which ascend; return a future that is done after the last.

        As timers would, for a third of their price; one list at a time.
        """
        self._arrivals, self._arriving, self._next_arrival = times_s, arrive, 0
        self._fed = asyncio.Future(loop=self)
        self._due_at_s = times_s[0] if times_s else math.inf
        if not times_s:
            self._fed.set_result(None)
        return self._fed

    def _arrive(self) -> None:
        times_s, number = self._arrivals, self._next_arrival
        while number < len(times_s) and times_s[number] <= self._now_s:
            self._arriving(number)
            number += 1
        self._next_arrival = number
        if number < len(times_s):
            self._due_at_s = times_s[number]
        else:
            self._due_at_s = math.inf
            self._fed.set_result(None)

    def _jump(self) -> None:
        timers, ready = self._timers, self._ready
        if self.before_jump is not None:
            self.before_jump()
            if ready:
                return
        if self._cancelled > _MAX_CANCELLED:
            self._forget_cancelled()
        while timers and not ready:
            when = max(self._now_s, timers[0][0])
            if self._due_at_s <= when:
                self._now_s = max(self._now_s, self._due_at_s)
                return
            self._now_s = when
            while timers and timers[0][0] <= when:
                timer = heapq.heappop(timers)[2]
                if isinstance(timer, events.TimerHandle):
                    if timer._cancelled:
                        self._cancelled -= 1
                    else:
                        timer._scheduled = False  # type: ignore[attr-defined]
                        ready.append(timer)
                elif not timer.done():
                    timer.set_result(None)
        if not ready and self._due_at_s < math.inf:
            self._now_s = max(self._now_s, self._due_at_s)
        elif not ready and not self._stopping:  # type: ignore[attr-defined]
            raise Deadlocked("nothing is left to happen, and somebody waits")

    def _forget_cancelled(self) -> None:
        live = [
            timer for timer in self._timers if not (isinstance(timer[2], events.TimerHandle) and timer[2]._cancelled)
        ]
        heapq.heapify(live)
        self._timers, self._cancelled = live, 0

    def _process_events(self, _event_list: object) -> None:
        """Do nothing: there is no I/O."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread wakes this loop."""


@dataclass(frozen=True, slots=True)
class VirtualDeadline(Deadline):
    """A deadline in the running loop's time."""

    loop: VirtualLoop

    def remaining_s(self) -> float:
        """Return the seconds left; never negative."""
        return max(0.0, self.at_s - self.loop.time())

    def expired(self) -> bool:
        """Return True once no time is left."""
        return self.loop.time() >= self.at_s

    def within(self, cap_s: float, *, reserve_s: float = 0.0) -> VirtualDeadline:
        """Return the earlier of `cap_s` from now and this deadline less `reserve_s`."""
        return VirtualDeadline(min(self.loop.time() + cap_s, self.at_s - reserve_s), self.loop)

    def require(self, floor_s: float = 0.0) -> float:
        """Return the seconds left; raise DeadlineExceeded if none or fewer than `floor_s` are."""
        left = self.at_s - self.loop.time()
        if left <= 0.0 or left < floor_s:
            raise DeadlineExceeded
        return left
