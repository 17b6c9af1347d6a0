"""Makes what a log has written durable, in groups, from a thread of its own."""

from __future__ import annotations

import threading
from typing import Final

from trunkline_usage.append_log import AppendLog

SYNC_EVERY_S: Final = 0.1
"""How long written lines may wait for their sync; what a power loss may cost, beside the time that a sync takes."""
SYNC_BYTES: Final = 1 << 20
"""With so much unsynced, a sync comes at once."""
RETRY_S: Final = 0.5
"""Between tries to write what waits in memory."""


class GroupSync:
    """Runs from `start` to `close`."""

    def __init__(self, log: AppendLog) -> None:
        """Sync `log`."""
        self._log = log
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
        if self._log.unsynced_bytes >= SYNC_BYTES and not self._urgent.is_set():
            self._urgent.set()

    def _run(self) -> None:
        while not self._closed:
            if self._log.healthy:
                self._written.wait()
                self._urgent.wait(SYNC_EVERY_S)
            else:
                self._urgent.wait(RETRY_S)
            self._urgent.clear()
            self._written.clear()
            self._log.flush()
            self._log.sync()
