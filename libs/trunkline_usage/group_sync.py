"""Makes what a log has written durable, in groups, from a thread of its own, and writes what a loop must not."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from trunkline_usage.append_log import AppendLog, log

SYNC_EVERY_S: Final = 0.1
"""How long written lines may wait for their sync; what a power loss may cost, beside the time that a sync takes."""
SYNC_BYTES: Final = 1 << 20
"""With so much unsynced, a sync comes at once."""
RETRY_S: Final = 0.5
"""Between tries to write what waits in memory."""
TEND_EVERY_S: Final = 60.0
"""How often a log without lines is looked after."""


class GroupSync:
    """Runs from `start` to `close`."""

    def __init__(self, log: AppendLog, tend: Callable[[], None] | None = None) -> None:
        """Sync `log`; call `tend`, which may block, after each sync and at least once a minute."""
        self._log = log
        self._tend = tend
        self._written = threading.Event()
        self._urgent = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="usage-sync", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._log.stir = self._stir
        self._thread.start()

    def close(self) -> None:
        """Write and sync what is left, and end. Blocks."""
        self._closed = True
        self._written.set()
        self._urgent.set()
        self._thread.join()
        self._log.close()

    def _stir(self) -> None:
        # Setting an event costs a lock and a wake-up; looking first costs neither.
        if not self._written.is_set():
            self._written.set()
        if (self._handed() or self._log.unsynced_bytes >= SYNC_BYTES) and not self._urgent.is_set():
            self._urgent.set()

    def _handed(self) -> bool:
        """Return True if lines are left to this thread; those that the disk does not take wait for the next try."""
        return self._log.waiting and not self._log.failing

    def _run(self) -> None:
        while not self._closed:
            if self._log.healthy:
                self._written.wait(TEND_EVERY_S)
                self._gather()
            else:
                self._urgent.wait(RETRY_S)
            self._urgent.clear()
            self._written.clear()
            self._log.flush()
            self._log.sync()
            self._look_after()

    def _look_after(self) -> None:
        if self._tend is None:
            return
        try:
            self._tend()
        except Exception as exc:  # noqa: BLE001 - lines must be written and synced whatever is wrong beside them
            log.error("a usage log cannot be looked after", error_type=type(exc).__name__, exc_info=exc)

    def _gather(self) -> None:
        """Let lines gather for a sync; meanwhile write at once those that are left to this thread."""
        until_s = time.monotonic() + SYNC_EVERY_S
        while not self._closed and self._urgent.wait(max(0.0, until_s - time.monotonic())):
            if not self._handed():
                return
            self._urgent.clear()
            self._log.flush()
