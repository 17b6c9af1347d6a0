"""An event loop whose time jumps to the next timer: waiting costs nothing and every run is the same."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from trunkline_mesh.deadline import Deadline

T = TypeVar("T")


class StuckError(AssertionError):
    """Every task waits, and no timer will ever wake one."""


class _JumpingSelector(selectors.DefaultSelector):
    loop: VirtualTimeLoop

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if not ready and timeout is None:
            raise StuckError("a task waits for ever")
        if not ready and timeout:
            self.loop.now_s += timeout
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Runs without waiting; `time` is the injected clock of what is tested."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        selector = _JumpingSelector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    def deadline(self, seconds: float) -> Deadline:
        """Return a deadline in virtual time."""
        return Deadline(self.now_s + seconds)


def run_virtual(main: Coroutine[Any, Any, T], loop: VirtualTimeLoop) -> T:
    """Run to the end in virtual time and close the loop; raises StuckError where real time would hang."""
    try:
        return loop.run_until_complete(main)
    finally:
        for task in asyncio.all_tasks(loop):  # left by a scenario that failed
            task.cancel()
        loop.run_until_complete(asyncio.sleep(1))
        loop.close()


class ManualClock:
    """A clock that moves when told to."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds
