"""Writes the account of refusals: append-only, hash-chained lines as the audit log's, in a folder beside it.

Unlike changes, refusals lie nowhere else, and whoever may call the control role may cause as many as it likes. So
everything is bounded: a queue in memory (what does not fit is counted, and the count stands in the next line), files by
size, and their number (the oldest go). Lines are synced some tenths of a second after the refusal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from trunkline_map import audit
from trunkline_mesh.logs import get_logger
from trunkline_routing.control.audit_file import AuditBusyError, AuditDamagedError, AuditFile
from trunkline_routing.control.audit_metrics import AUDIT_REFUSALS, AUDIT_REFUSALS_DROPPED
from trunkline_routing.control.audit_writer import in_thread

_log = get_logger(__name__)

MAX_WAITING: Final = 1_000
"""Refusals in memory; what is more is counted and left out."""

GATHER_S: Final = 0.2
"""Refusals of so long are synced together."""

PAUSE_S: Final = 1.0
"""Pause after a failure."""

MAX_WRITERS: Final = 16
"""Control roles that may write into one folder, each to a part of its own."""

MAX_FILE_BYTES: Final = 16_777_216
KEPT_FILES: Final = 16


class RefusalWriter:
    """`note` from anywhere in the event loop; `run` beside the control role."""

    def __init__(self, directory: Path, max_file_bytes: int, revision: Callable[[], int]) -> None:
        """Write below `directory`; `revision` tells that of the map at hand, which stands in each line."""
        self._directory = directory
        self._max_bytes = min(max_file_bytes, MAX_FILE_BYTES)
        self._revision = revision
        self._waiting: deque[dict[str, Any]] = deque()
        self._left_out = 0
        self._wake = asyncio.Event()

    @property
    def waiting(self) -> int:
        """Refusals that are not written yet."""
        return len(self._waiting)

    def note(self, told: dict[str, Any]) -> None:
        """Take a refusal to be written."""
        if len(self._waiting) >= MAX_WAITING:
            self._left_out += 1
            AUDIT_REFUSALS_DROPPED.inc()
            return
        line = {**told, "revision": self._revision(), "token": "", "left_out": self._left_out}
        self._left_out = 0
        self._waiting.append(line)
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled, and once more then; whatever fails is tried again, and waits in memory meanwhile."""
        told: type[Exception] | None = None
        while True:
            try:
                await self._follow()
            except (AuditDamagedError, OSError, ValueError) as exc:
                if type(exc) is not told:
                    told = type(exc)
                    _log.error("the account of refusals is not written", error_type=told.__name__)
            await asyncio.sleep(PAUSE_S)

    async def _follow(self) -> None:
        for number in range(1, MAX_WRITERS + 1):
            file = AuditFile(self._directory / f"writer-{number}", self._max_bytes)
            try:
                with file.opened():
                    await self._write(file, self._directory / f"writer-{number}")
            except AuditBusyError:
                continue
        raise OSError("as many control roles as may write here do so already")

    async def _write(self, file: AuditFile, directory: Path) -> None:
        try:
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER_S)
                await self._append(file, directory)
        finally:
            # The role is going down; what was refused last is told, too.
            await self._append(file, directory)

    async def _append(self, file: AuditFile, directory: Path) -> None:
        self._wake.clear()
        lines = list(self._waiting)
        if not lines:
            return

        written = False

        def write() -> None:
            nonlocal written
            file.append(lines)
            written = True
            for old in audit.files_of(directory)[:-KEPT_FILES]:
                old.unlink()

        try:
            await in_thread(write)
        finally:
            if written:  # also where this was cancelled meanwhile: nothing is told twice
                for _ in lines:
                    self._waiting.popleft()
                AUDIT_REFUSALS.inc(len(lines))
