"""An event loop in virtual time: when nothing is ready, the clock jumps to the next timer. No I/O, no waiting.

The order of everything is that of the calls: timers of one instant run in the order in which they were set. Nothing
reads the wall clock, so a run is a pure function of its inputs. Unlike in asyncio's own loops a callback that raises
ends the run: what a simulation tells after that would be worth nothing.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextvars import Context
from functools import partial
from typing import Any, Final, TypeVar

_MAX_CANCELLED: Final = 10_000
"""Cancelled timers that the heap may hold beyond the live ones, before it is rebuilt."""


TICK_S: Final = 1e-6
"""Shortest time that passes until a timer runs: whoever waits for a remainder of rounding would stand still else."""
_T = TypeVar("_T")


class Deadlocked(RuntimeError):  # noqa: N818 - states what happened
    """Nothing is ready, no timer is set, and the main task still waits: virtual time cannot go on."""


def _nobody(_number: int) -> None:
    """Arrive where nobody is fed."""


def _run(handle: events.Handle) -> None:
    if not handle._cancelled:
        handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]  # typeshed leaves it out


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks and timers as asyncio's own loops do, but its time is a number that jumps."""

    get_debug = staticmethod(bool)
    """Returns False. Futures and handles ask it, and a call in C is a tenth of one in Python."""

    def __init__(self, start_s: float = 0.0) -> None:
        """Begin at `start_s` of the loop's own time."""
        super().__init__()
        self._now_s = start_s
        self._timers: list[tuple[float, int, events.TimerHandle | asyncio.Future[None]]] = []
        self._order = 0
        self._cancelled = 0
        self._stopping: bool
        self._ready: deque[Callable[[], object]] = deque()
        self._dropped: Final = events.Handle(_nobody, (), self)
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

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: object = "task",
        context: Context | None = None,
    ) -> asyncio.Task[_T]:
        """Return a task, which gets no number: as asyncio's own, for half of its price."""
        return asyncio.Task(coro, loop=self, name=str(name), context=context)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> events.Handle:
        """Run `callback` in this instant, after what is ready already.

        Who gives a context gets no handle to cancel it by: futures and tasks do, and drop the handle.
        """
        if context is not None:
            self._ready.append(partial(context.run, callback, *args))
            return self._dropped
        handle = events.Handle(callback, args, self, context)
        self._ready.append(partial(_run, handle))
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
        self._order = order = self._order + 1
        heapq.heappush(self._timers, (self._now_s + delay_s, order, waiting))
        return waiting

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        self._cancelled += handle._scheduled  # type: ignore[attr-defined]  # typeshed leaves out what loops are made with

    def _run_once(self) -> None:
        """Run until the loop is stopped: what is ready, then the next instant."""
        ready = self._ready
        while not self._stopping:
            while ready:
                ready.popleft()()
            if not self._stopping:
                self._jump()

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
        """Go to the next instant in which something happens."""
        timers, ready = self._timers, self._ready
        if self.before_jump is not None:
            self.before_jump()
            if ready:
                return
        if self._cancelled > _MAX_CANCELLED:
            self._forget_cancelled()
            timers = self._timers
        while not ready:
            when = timers[0][0] if timers else math.inf
            if self._due_at_s <= when:
                if self._due_at_s == math.inf:
                    raise Deadlocked("nothing is left to happen, and somebody waits")
                self._now_s = max(self._now_s, self._due_at_s)
                self._arrive()
                return
            if when > self._now_s:
                self._now_s = when
            while timers and timers[0][0] <= when:
                timer = heapq.heappop(timers)[2]
                if not isinstance(timer, events.TimerHandle):
                    if not timer.done():
                        timer.set_result(None)
                elif timer._cancelled:
                    self._cancelled -= 1
                else:
                    timer._scheduled = False  # type: ignore[attr-defined]  # typeshed leaves it out
                    ready.append(partial(_run, timer))

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
