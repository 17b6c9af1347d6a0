"""Writes the history to the audit log, each change exactly once, and trims of the history what is written.

Every change is in the history from its own transaction on, so nothing is lost while this writer is away, killed, or
behind a compaction: it lists what is newer than the last whole line, appends it in the order of the revisions, and
follows the store's watch from there. Lines are synced before anything is trimmed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from trunkline_map.keys import CONTROL_PREFIX
from trunkline_map.store import Changes, KeyValue, StoreCompactedError, StoreUnavailableError, WatchCanceledError
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import DomainError, MapUnwritable
from trunkline_mesh.logs import get_logger
from trunkline_routing.control.audit_backlog import backlog, changes_of
from trunkline_routing.control.audit_file import AuditBusyError, AuditDamagedError, AuditFile
from trunkline_routing.control.audit_lines import line_fields
from trunkline_routing.control.audit_metrics import AUDIT_FAILURES, AUDIT_LINES, AUDIT_REVISION
from trunkline_routing.control.change_lists import ChangeOfEntry
from trunkline_routing.control.map_store import CALL_TIMEOUT_S, MapStore
from trunkline_routing.control.trimming import trim
from trunkline_routing.control.watch_reading import Read, reading

_log = get_logger(__name__)

PAUSE_S: Final = 1.0
"""Pause after a failure, and between looks at a directory that another process writes."""

PROBE_EVERY_S: Final = 30.0
"""How often a watch that is silent is asked for a sign of life."""

SILENCE_S: Final = 10.0
"""One that does not answer for so long is given up."""

_T = TypeVar("_T")


class AuditWriter:
    """Runs beside the control role; `run` never ends by itself."""

    def __init__(self, maps: MapStore, file: AuditFile) -> None:
        """Write what happens in `maps` to `file`."""
        self._maps = maps
        self._file = file

    async def run(self) -> None:
        """Write until cancelled. Whatever fails is tried again: the history keeps what is not written."""
        told: type[Exception] | None = None
        while True:
            try:
                with self._file.opened():
                    await self._write()
            except (WatchCanceledError, StoreCompactedError):
                told = None  # what was missed is in the history: list it
            except AuditBusyError:
                if told is not AuditBusyError:
                    told = AuditBusyError
                    _log.info("another process writes the audit log; waiting for its end")
            except (AuditDamagedError, OSError, ValueError, StoreUnavailableError, DomainError) as exc:
                AUDIT_FAILURES.inc()
                if type(exc) is not told:
                    told = type(exc)
                    _log.error("the audit log is not written; the history keeps the changes", error_type=told.__name__)
            await asyncio.sleep(PAUSE_S)

    async def _write(self) -> None:
        """Bring the file up to date and keep it so. Raises what the store and the file raise."""
        epoch = await self._epoch()
        missing, revision = await backlog(self._maps, self._file, epoch)
        async for items in missing:
            await self._append(changes_of(items), epoch)
        async with (
            self._maps.kv.watch(CONTROL_PREFIX, start_revision=revision + 1) as watch,
            reading(watch) as read,
        ):
            while True:
                items = await _next_items(read, watch.request_progress)
                if await self._epoch() != epoch:
                    # Perhaps a restored store, which gives out revisions a second time: compare all of it.
                    raise WatchCanceledError("the map has a new epoch")
                await self._append(changes_of(items), epoch)

    async def _append(self, changes: Sequence[ChangeOfEntry], epoch: bytes) -> None:
        if not changes:
            return
        await in_thread(lambda: self._file.append([line_fields(change, epoch) for change in changes]))
        AUDIT_LINES.inc(len(changes))
        AUDIT_REVISION.set(changes[-1].revision)
        await self._trim(changes)

    async def _trim(self, changes: Iterable[ChangeOfEntry]) -> None:
        """Trim the entries that were changed; new ones have nothing to trim. What fails is done at a later change."""
        written = {change.key: change.revision for change in changes if change.record.before}
        for key, revision in written.items():
            try:
                await trim(self._maps, key, revision)
            except (StoreUnavailableError, MapUnwritable):
                return

    async def _epoch(self) -> bytes:
        return await self._maps.ensure_epoch(Deadline.after(CALL_TIMEOUT_S * 2))


async def _next_items(read: Read, probe: Callable[[], Awaitable[None]]) -> list[KeyValue]:
    """Return the next written keys; ask a silent watch for a sign of life. Raises StoreUnavailableError."""
    while True:
        signal = await read(PROBE_EVERY_S)
        if signal is None:
            await probe()
            signal = await read(SILENCE_S)
            if signal is None:
                raise StoreUnavailableError("the watch of the history is silent")
        if isinstance(signal, Changes):
            return [
                KeyValue(event.key, event.value, event.mod_revision)
                for event in signal.events
                if event.value is not None
            ]


async def in_thread(work: Callable[[], _T]) -> _T:
    """Run `work` in a thread, and wait for it even when cancelled: it uses a file that is closed afterwards."""
    running = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait((running,))
        raise
