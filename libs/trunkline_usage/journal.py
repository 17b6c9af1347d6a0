"""The journal of what requests used: written before their answers leave, by one process a folder."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from trunkline_usage.append_log import AppendLog, log
from trunkline_usage.group_sync import GroupSync
from trunkline_usage.records import MAX_LINE_BYTES, UsageRecord, line_of, record_of
from trunkline_usage.segment_writer import LogSpec
from trunkline_usage.segments import HeaderError, read_header, segments_of, whole_lines
from trunkline_usage.writer_lock import writer_folder

USAGE: Final = "usage"
"""Name of the log, and beginning of its files' names."""
SEGMENT_BYTES: Final = 64 << 20
PERIOD_S: Final = 3_600
"""A file holds what was written within one hour at most, so that finished ones can be copied away."""
_TAIL_BYTES: Final = 4 * MAX_LINE_BYTES
REPLICA: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class UsageJournal:
    """Appends records. For one thread; get it from `open_usage_journal`."""

    def __init__(self, writing: AppendLog) -> None:
        """Write to `writing`."""
        self._log = writing
        self._told_odd = False

    @property
    def healthy(self) -> bool:
        """False while records wait in memory because the disk takes none or stalls, or the last sync failed."""
        return self._log.healthy

    @property
    def lost(self) -> int:
        """Records that were dropped since the journal was opened, because the disk took none for too long."""
        return self._log.lost

    def append(self, record: UsageRecord) -> None:
        """Hand a record to the kernel, or to the thread that does it where that may take time. Raises nothing.

        Before the answer leaves `written` is to be awaited: then the record is there even if this process is killed.
        On a disk that takes none, records wait in memory, `backlog.MAX_BACKLOG_BYTES` of them, and are written when it
        does again; beyond that they are lost, counted, and show as a gap in the numbers.
        """
        try:
            line = line_of(record, self._log.next_number)
        except (ValueError, TypeError, OverflowError) as exc:
            self._log.lose()
            if not self._told_odd:
                self._told_odd = True
                log.error("a usage record cannot be written; a defect of its maker", error_type=type(exc).__name__)
            return
        self._log.append(line)

    async def written(self) -> None:
        """Wait until the kernel has all records so far, at most `append_log.WAIT_S`; usually it has them."""
        await self._log.written()


@asynccontextmanager
async def open_usage_journal(
    root: Path,
    replica: str,
    *,
    region: str = "",
    jurisdiction: str = "",
    segment_bytes: int = SEGMENT_BYTES,
    period_s: int = PERIOD_S,
) -> AsyncIterator[UsageJournal]:
    """Open the journal of this process in `root/REPLICA`, and close it at the end.

    A process that takes over from one of the same name, which still drains, writes `root/REPLICA.2`. Each process
    begins files of its own; nothing that was written is touched again. Raises ValueError for a replica's name that is
    none, UsageBusyError, and OSError where the folder cannot be made.
    """
    if not REPLICA.fullmatch(replica):
        raise ValueError("a replica's name has 1 to 63 letters, digits, dots, dashes and underscores")
    spec = LogSpec(USAGE, replica, region, jurisdiction, segment_bytes, period_s)
    with writer_folder(root, replica) as folder:
        number, journal = await asyncio.to_thread(resume, folder, USAGE, lambda line: record_of(line).number)
        writing = AppendLog(folder, spec, number=number, journal=journal)
        sync = GroupSync(writing)
        sync.start()
        try:
            yield UsageJournal(writing)
        finally:
            await closed(sync)


async def closed(sync: GroupSync) -> None:
    """Wait until all is written and synced, also when cancelled: the folder's lock is given up afterwards."""
    closing = asyncio.ensure_future(asyncio.to_thread(sync.close))
    try:
        await asyncio.shield(closing)
    except asyncio.CancelledError:
        await asyncio.wait((closing,))
        raise


def resume(folder: Path, name: str, number_of: Callable[[bytes], int]) -> tuple[int, str]:
    """Return the number of the next line of a log, and its id; 1 and none for a new one. Blocks. Raises OSError.

    `number_of` returns a line's number and raises ValueError for a damaged one. What a crash tore is passed over.
    """
    for segment in reversed(segments_of(folder, name)):
        try:
            header = read_header(segment.path)
        except HeaderError:
            continue
        found = _last_number(segment.path, max(0, segment.size() - _TAIL_BYTES), number_of)
        if found is None:
            found = _last_number(segment.path, 0, number_of)
        return header.first if found is None else found + 1, header.journal
    return 1, ""


def _last_number(path: Path, offset: int, number_of: Callable[[bytes], int]) -> int | None:
    found = None
    for _, line in whole_lines(path, offset, MAX_LINE_BYTES):
        try:
            found = number_of(line)
        except ValueError:  # the header, a damaged line, or the rest of the line that `offset` is within
            continue
    return found
