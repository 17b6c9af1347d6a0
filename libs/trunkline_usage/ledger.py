"""The running account of a region: follows journals as they grow, in a database of its own.

It answers what was used without reading everything again. It is derived: lost or damaged, it is made anew from the
journals. For a bill use `account`, which compares all records with each other; this compares each record with those of
the last `max_ids` requests.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from trunkline_usage import ledger_schema as sql
from trunkline_usage.aggregate import Amount, Heading
from trunkline_usage.ledger_batch import Batch
from trunkline_usage.records import MAX_LINE_BYTES, DamagedLineError, record_of
from trunkline_usage.scan import USAGE
from trunkline_usage.segments import Header, HeaderError, folders_with, read_header, segments_of, whole_lines

MAX_IDS: Final = 1_000_000
"""Requests whose repeats are recognised: the last quarter of an hour at 1,000 a second. Some 400 bytes each."""
KEPT_DAYS: Final = 400
"""Days that are kept, counted back from today."""
BATCH_LINES: Final = 4_000
"""Lines of one transaction: what is held in memory, and what another reader waits for."""
BUSY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Used:
    """What a tenant used."""

    lines: Sequence[tuple[Heading, Amount]]
    """In order."""
    requests: int
    """Distinct ones."""


class Ledger:
    """Follows the journals in and below a folder. Its methods block and may be called from several threads."""

    def __init__(
        self, database: sqlite3.Connection, root: Path, *, max_ids: int = MAX_IDS, now: Callable[[], float] = time.time
    ) -> None:
        """Follow the journals below `root` in a database that `open_ledger` prepared."""
        self._database = database
        self._root = root
        self._max_ids = max_ids
        self._now = now
        self._lock = threading.Lock()
        self._files: dict[Path, tuple[Header, int]] = {}
        self.complete_until_s = 0.0
        """All that was written to the journals before this Unix time is counted; 0 before the first full pass."""
        self.damaged = 0
        """Lines that could not be read, since this began."""

    def refresh(self, budget_s: float) -> bool:
        """Count what was written since; return True if all of it was read within the time.

        What it had no time for it counts when it is called again. Raises sqlite3.Error, OSError.
        """
        began_s, until_s = self._now(), time.monotonic() + budget_s
        for path in self._paths():
            while self._grew(path):
                self._count_some(path)
                if time.monotonic() > until_s:
                    return False
        self._forget()
        self.complete_until_s = began_s
        return True

    def used(self, tenant_id: str, first_day: str, last_day: str, label: str = "") -> Used:
        """Return what a tenant used on some days, both included. Raises sqlite3.Error."""
        days = tenant_id, first_day, last_day
        sums = defaultdict[Heading, Amount](Amount)
        with self._lock:
            rows = self._database.execute(sql.READ_SUMS, days).fetchall()
            (requests,) = self._database.execute(sql.READ_REQUESTS, days).fetchone()
        for day, stage, collection, labels, version, count, tokens, micros in rows:
            value = dict(json.loads(labels)).get(label, "") if label else ""
            sums[Heading(tenant_id, day, stage, collection, value, version)].add(count, tokens, micros)
        return Used(sorted(sums.items(), key=lambda item: item[0]), requests)

    def close(self) -> None:
        """Close the database; a call that is under way in another thread ends first, later ones raise sqlite3.Error."""
        with self._lock:
            self._database.close()

    def _paths(self) -> list[Path]:
        paths = [each.path for folder in folders_with(self._root, USAGE) for each in segments_of(folder, USAGE)]
        for gone in self._files.keys() - set(paths):
            del self._files[gone]
        return paths

    def _grew(self, path: Path) -> bool:
        if path not in self._files:
            try:
                header = read_header(path)
            except (HeaderError, FileNotFoundError):
                return False  # begun this moment, damaged, or gone: it is looked at again
            self._files[path] = header, 0
        with suppress(FileNotFoundError):
            return path.stat().st_size > self._files[path][1]
        return False

    def _count_some(self, path: Path) -> None:
        """Count some lines of a file in one transaction, together with how far it was read."""
        header, _ = self._files[path]
        with self._lock, _transaction(self._database):
            found = self._database.execute(sql.PLACE, (header.journal, header.number)).fetchone()
            behind = found[0] if found else 0
            batch = Batch(self._database)
            size = path.stat().st_size
            read = False
            for offset, line in islice(whole_lines(path, behind, MAX_LINE_BYTES), BATCH_LINES):
                if behind:
                    self._count(batch, line)
                behind, read = offset, True
            batch.write()
            self._database.execute(sql.REACHED, (header.journal, header.number, behind))
        # A line that is torn, or still being written, is no reason to look again before the file grows.
        self._files[path] = header, behind if read else size

    def _count(self, batch: Batch, line: bytes) -> None:
        try:
            record = record_of(line).record
        except DamagedLineError:
            self.damaged += 1
        else:
            batch.take(record, line)

    def _forget(self) -> None:
        oldest = (datetime.fromtimestamp(self._now(), UTC) - timedelta(days=KEPT_DAYS)).date().isoformat()
        with self._lock, _transaction(self._database):
            self._database.execute(sql.FORGET, (self._max_ids,))
            self._database.execute(sql.DROP_SUMS, (oldest,))
            self._database.execute(sql.DROP_REQUESTS, (oldest,))


@contextmanager
def open_ledger(path: Path | None, root: Path, *, max_ids: int = MAX_IDS) -> Iterator[Ledger]:
    """Open the ledger of the journals below `root`, kept in the file `path`, or in memory without one.

    A file that is damaged, or of another version, is made anew. Processes may share one. Raises sqlite3.Error, OSError.
    """
    try:
        database = _opened(path)
    except sqlite3.OperationalError:
        raise  # locked, or the disk's fault: no reason to throw it away
    except sqlite3.DatabaseError:
        if path is None or not path.exists():
            raise
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            path.with_name(name).unlink(missing_ok=True)
        database = _opened(path)
    ledger = Ledger(database, root, max_ids=max_ids)
    try:
        yield ledger
    finally:
        ledger.close()


def _opened(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = sqlite3.connect(path or ":memory:", timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")  # what a power loss takes is read from the journals again
        with _transaction(database):
            (version,) = database.execute("PRAGMA user_version").fetchone()
            if version == 0:
                for statement in sql.SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {sql.VERSION}")
            elif version != sql.VERSION:
                raise sqlite3.DatabaseError("the ledger is of another version")  # noqa: TRY301 - as a damaged one is
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")
