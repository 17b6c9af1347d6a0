"""The audit of searches: who searched which collections, in hashes; never a query's text."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from trunkline_usage.append_log import AppendLog
from trunkline_usage.day_salts import DAY_S, DaySalts
from trunkline_usage.group_sync import GroupSync
from trunkline_usage.journal import REPLICA, closed, resume
from trunkline_usage.salts import Salts, hash_of
from trunkline_usage.search_lines import (
    ALLOWED,
    GENESIS,
    SEARCHES,
    SearchLine,
    chain_hash,
    line_of,
    search_line_of,
    time_of,
)
from trunkline_usage.search_tending import SearchTending
from trunkline_usage.segment_writer import LogSpec
from trunkline_usage.writer_lock import writer_folder

SEGMENT_BYTES: Final = 64 << 20
PERIOD_S: Final = DAY_S
"""A file holds one day at most, in UTC, as a salt does."""
KEEP_SALT_DAYS: Final = 30
KEEP_DAYS: Final = 400


class SearchAudit:
    """Appends lines. For one thread; get it from `open_search_audit`."""

    def __init__(
        self, writing: AppendLog, salts: DaySalts, *, previous: str = GENESIS, now: Callable[[], float] = time.time
    ) -> None:
        """Write to `writing`, after the line with the hash `previous`."""
        self._log = writing
        self._salts = salts
        self._previous = previous
        self._now = now

    @property
    def healthy(self) -> bool:
        """False while lines wait in memory because the disk takes none or stalls, or the last sync failed."""
        return self._log.healthy

    @property
    def lost(self) -> int:
        """Lines that were dropped since the audit was opened."""
        return self._log.lost

    def note(
        self,
        *,
        tenant_id: str,
        caller: str,
        query: str | bytes | None,
        collections: Sequence[str],
        region: str,
        jurisdiction: str,
        outcome: str,
        request_id: str,
    ) -> None:
        """Hand a line to the kernel, or to the thread that does it where that may take time. Raises nothing.

        Once `written` was awaited it is there even if this process is killed. `caller` is the credential's subject,
        empty for none; `query` the text, the bytes of a vector, or None. Both are kept as hashes alone. `outcome` is
        `ALLOWED`, or the name of the reason for which the search was denied or failed. On a disk that takes no lines
        they wait in memory as those of `UsageJournal` do.
        """
        now_s = self._now()
        salt = self._salts.of(now_s)
        text = line_of(
            SearchLine(
                number=self._log.next_number,
                time=time_of(now_s),
                tenant=tenant_id,
                caller=hash_of("caller", caller, salt) if caller else "",
                query=_query_hash(query, salt),
                collections=tuple(collections),
                region=region,
                jurisdiction=jurisdiction,
                outcome=ALLOWED if outcome == ALLOWED else "denied",
                reason=outcome,
                request_id=request_id,
                previous=self._previous,
            )
        )
        if self._log.append(text + b"\n"):
            self._previous = chain_hash(text)

    async def written(self) -> None:
        """Wait until the kernel has all lines so far, at most `append_log.WAIT_S`; usually it has them."""
        await self._log.written()


def _query_hash(query: str | bytes | None, salt: bytes) -> str:
    if query is None:
        return ""
    return hash_of("vector" if isinstance(query, bytes) else "query", query, salt)


@asynccontextmanager
async def open_search_audit(
    root: Path,
    replica: str,
    *,
    region: str = "",
    jurisdiction: str = "",
    keep_salt_days: int = KEEP_SALT_DAYS,
    keep_days: int = KEEP_DAYS,
    segment_bytes: int = SEGMENT_BYTES,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[SearchAudit]:
    """Open the audit of this process in `root/REPLICA`, with the salts in `root/salts`, and close it at the end.

    `keep_salt_days`: how many days after its own a day's salt is kept, 0 and more. `keep_days`: how many days after
    their own lines are kept, of all writers of `root`; 0 for ever. Raises as `open_usage_journal` does.
    """
    if not REPLICA.fullmatch(replica) or keep_salt_days < 0 or keep_days < 0:
        raise ValueError("a replica's name has 1 to 63 letters, digits and `.-_`, and days are not negative")
    spec = LogSpec(SEARCHES, replica, region, jurisdiction, segment_bytes, PERIOD_S)
    with writer_folder(root, replica) as folder:
        number, journal, previous = await asyncio.to_thread(_resume, folder)
        writing = AppendLog(folder, spec, number=number, journal=journal, now=now)
        salts = DaySalts(Salts(root, keep_salt_days), now)
        await asyncio.to_thread(salts.prepare)
        sync = GroupSync(writing, SearchTending(root, writing, salts, keep_days, now))
        sync.start()
        try:
            yield SearchAudit(writing, salts, previous=previous, now=now)
        finally:
            await closed(sync)


def _resume(folder: Path) -> tuple[int, str, str]:
    previous = GENESIS

    def number_of(text: bytes) -> int:
        nonlocal previous
        number = search_line_of(text).number
        previous = chain_hash(text)
        return number

    number, journal = resume(folder, SEARCHES, number_of)
    return number, journal, previous
