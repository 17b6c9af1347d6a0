"""Port of what callers say of decisions, and its adapter over a folder."""

from __future__ import annotations

import asyncio
import re
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeVar

from trunkline_mesh import metrics
from trunkline_mesh.errors import BackendUnavailable, Overloaded
from trunkline_mesh.logs import get_logger
from trunkline_routing.feedback import segments
from trunkline_routing.feedback.records import FeedbackRecord, Record, from_line, to_line

MAX_PENDING: Final = 4_096
"""Records that may wait for the disk in one process; further ones are OVERLOADED."""
GROUP: Final = 256
"""Records that are written and synced at once at most."""

_JURISDICTION: Final = re.compile(r"[a-z0-9-]{1,16}")
_TENANT: Final = re.compile(r"[a-z0-9-]{1,63}")
_FAILURES: Final = metrics.counter("feedback_write_failures", "Groups of feedback that the disk did not take.", ())

log = get_logger("feedback")

T = TypeVar("T")


class FeedbackStore(Protocol):
    """What callers said, by jurisdiction and tenant. Methods raise BackendUnavailable where the store fails."""

    async def append(self, jurisdiction: str, record: Record) -> None:
        """Keep a record durably; what a tenant has too much of, the oldest, is dropped. Raises Overloaded, too."""

    async def read(self, jurisdiction: str, tenant_id: str, *, since_s: float, limit: int) -> list[Record]:
        """Return the newest `limit` records since a Unix time, oldest first.

        Of what one caller says of one decision only the last word is among them.
        """

    async def trim(self, jurisdiction: str, tenant_id: str, *, before_s: float, max_records: int) -> int:
        """Forget what is older than a Unix time and what exceeds `max_records`; return how many records went.

        Stores forget in pieces: up to a day's, or one piece's records more than asked for may stay for a while.
        """

    async def tenants(self, jurisdiction: str) -> list[str]:
        """Return the tenants of whom anything is kept, sorted."""


@dataclass(slots=True)
class _Ticket:
    folder: Path
    line: bytes
    done: asyncio.Future[None]

    def settle(self, *, kept: bool, cause: OSError | None) -> None:
        """Tell whoever waits whether the line is on disk."""
        if kept:
            self.done.set_result(None)
            return
        error = BackendUnavailable("feedback cannot be kept now")
        error.__cause__ = cause
        self.done.set_exception(error)


class FileFeedbackStore:
    """`FeedbackStore` over `ROOT/JURISDICTION/TENANT/DAY-NUMBER.jsonl`.

    Several processes may append to one folder: a group of lines is one write with O_APPEND, which the kernel keeps
    apart. A line that a crash or a full disk tore is skipped by readers. Routers of several machines need a folder
    each, or a shared file system that keeps appends atomic; NFS does not.
    """

    def __init__(self, root: Path, now: Callable[[], float] = time.time) -> None:
        """Use `root`, which is made when the first record is kept."""
        self._root = root
        self._now = now
        self._pending: deque[_Ticket] = deque()
        self._writing: asyncio.Task[None] | None = None

    async def append(self, jurisdiction: str, record: Record) -> None:
        """As `FeedbackStore.append`. Raises ValueError for a jurisdiction or tenant that is none."""
        folder = self._folder(jurisdiction, record.tenant_id)
        if len(self._pending) >= MAX_PENDING:
            raise Overloaded("too much feedback waits for the disk", retry_delay_s=1.0)
        ticket = _Ticket(folder, to_line(record), asyncio.get_running_loop().create_future())
        self._pending.append(ticket)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_pending(), name="feedback-writer")
        await ticket.done

    async def read(self, jurisdiction: str, tenant_id: str, *, since_s: float, limit: int) -> list[Record]:
        """As `FeedbackStore.read`."""
        return await _on_disk(lambda: _read(self._folder(jurisdiction, tenant_id), since_s, limit))

    async def trim(self, jurisdiction: str, tenant_id: str, *, before_s: float, max_records: int) -> int:
        """As `FeedbackStore.trim`: whole segments go, so that of each day all stays until its end (UTC) is too old."""
        return await _on_disk(lambda: segments.trim(self._folder(jurisdiction, tenant_id), before_s, max_records))

    async def tenants(self, jurisdiction: str) -> list[str]:
        """As `FeedbackStore.tenants`."""
        if not _JURISDICTION.fullmatch(jurisdiction):
            raise ValueError("no jurisdiction")
        return await _on_disk(lambda: _tenants(self._root / jurisdiction))

    async def close(self) -> None:
        """Wait until everything that was appended is on disk, or has failed."""
        if self._writing is not None:
            await self._writing

    def _folder(self, jurisdiction: str, tenant_id: str) -> Path:
        # Both become parts of a path: nothing but these forms may pass.
        if not _JURISDICTION.fullmatch(jurisdiction) or not _TENANT.fullmatch(tenant_id):
            raise ValueError("no jurisdiction or no tenant")
        return self._root / jurisdiction / tenant_id

    async def _write_pending(self) -> None:
        """Write what waits, a group at a time: while one is synced, the next one gathers."""
        while self._pending:
            group = [self._pending.popleft() for _ in range(min(GROUP, len(self._pending)))]
            by_folder: dict[Path, list[_Ticket]] = {}
            for ticket in group:
                by_folder.setdefault(ticket.folder, []).append(ticket)
            for folder, tickets in by_folder.items():
                await self._write(folder, tickets)

    async def _write(self, folder: Path, tickets: Sequence[_Ticket]) -> None:
        kept, cause = False, None
        try:
            await asyncio.to_thread(segments.append, folder, b"".join(ticket.line for ticket in tickets), self._now())
            kept = True
        except OSError as exc:
            cause = exc
            _FAILURES.inc()
            log.warning("feedback could not be written", error_type=type(exc).__name__)
        finally:  # whatever happens, nobody waits for ever
            for ticket in tickets:
                if not ticket.done.done():  # else its caller has gone
                    ticket.settle(kept=kept, cause=cause)


async def _on_disk(work: Callable[[], T]) -> T:
    try:
        return await asyncio.to_thread(work)
    except OSError as exc:
        raise BackendUnavailable("feedback cannot be read now") from exc


def _read(folder: Path, since_s: float, limit: int) -> list[Record]:
    """Go backwards, so that a caller's last word is met first and nothing older than needed is read."""
    found: list[Record] = []
    said: set[tuple[str, str]] = set()
    for line in segments.lines_backwards(folder, since_s):
        record = from_line(line)
        if record is None or record.at_s < since_s:
            continue
        if isinstance(record, FeedbackRecord):
            key = (record.caller, record.decision)
            if key in said:
                continue
            said.add(key)
        found.append(record)
        if len(found) >= limit:
            break
    found.reverse()
    found.sort(key=lambda record: record.at_s)
    return found


def _tenants(folder: Path) -> list[str]:
    try:
        return sorted(each.name for each in folder.iterdir() if each.is_dir() and _TENANT.fullmatch(each.name))
    except FileNotFoundError:
        return []
