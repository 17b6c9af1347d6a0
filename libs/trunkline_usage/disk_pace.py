"""Whether a disk is quick enough to be written to from an event loop, which stands still as long as a write does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from trunkline_mesh import metrics
from trunkline_mesh.logs import get_logger

SLOW_S: Final = 0.25
"""A write or a sync that takes longer tells of a disk that stalls. On a busy machine whoever writes may be kept from
running for some ten milliseconds: that must not count."""
REST_S: Final = 2.0
"""How long nothing may have been slow before the loop writes again."""

_SLOW = metrics.counter(
    "usage_journal_slow", "Writes and syncs of usage journals and search audits that took over 0.25 s.", ("log", "step")
)

log = get_logger("usage")


class DiskPace:
    """Of the disk of one log. `quick` may be asked by any thread; each of the others is for one thread at a time."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Trust the disk of the log `name` to begin with."""
        self._name: Final = name
        self._clock: Final = clock
        self._rest_until_s = 0.0
        self._sync_since_s: float | None = None

    def quick(self) -> bool:
        """Return False while a sync goes on for too long, and until nothing was slow for a while."""
        now_s, since_s = self._clock(), self._sync_since_s
        return now_s >= self._rest_until_s and (since_s is None or now_s - since_s <= SLOW_S)

    def now(self) -> float:
        """Return the time, for `wrote`."""
        return self._clock()

    def wrote(self, since_s: float) -> None:
        """Take note of a write that began then and has ended, well or not."""
        self._ended("write", since_s)

    def sync_begins(self) -> None:
        """Take note of a sync."""
        self._sync_since_s = self._clock()

    def sync_ends(self) -> None:
        """Take note of its end, well or not."""
        since_s, self._sync_since_s = self._sync_since_s, None
        if since_s is not None:
            self._ended("sync", since_s)

    def _ended(self, step: str, since_s: float) -> None:
        now_s = self._clock()
        if now_s - since_s <= SLOW_S:
            return
        _SLOW.labels(self._name, step).inc()
        if now_s >= self._rest_until_s:
            log.warning("a usage log's disk is slow", name=self._name, stage=step, seconds=round(now_s - since_s, 3))
        self._rest_until_s = now_s + REST_S
