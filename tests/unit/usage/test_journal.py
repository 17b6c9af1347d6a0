"""The journal of one process: there at once, one writer a folder, and honest about a disk that takes nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.unit.usage.making import SPEC, Clock, record

from trunkline_usage import backlog
from trunkline_usage.append_log import AppendLog
from trunkline_usage.disk_pace import REST_S, SLOW_S, DiskPace
from trunkline_usage.group_sync import GroupSync
from trunkline_usage.journal import UsageJournal, open_usage_journal, resume
from trunkline_usage.records import line_of, record_of
from trunkline_usage.scan import Scan
from trunkline_usage.segment_writer import LogSpec
from trunkline_usage.segments import read_header, segments_of

WRITER = "usage-sync"
"""Name of the thread."""


def ids_in(root: Path) -> list[str]:
    return [one.request_id for one, _ in Scan([root]).records()]


async def test_a_record_is_in_its_file_before_the_answer_leaves(tmp_path: Path) -> None:
    """With no sync and no close in between: the first one, for which a file is begun, once `written` was awaited."""
    async with open_usage_journal(tmp_path, "r1", region="eu-west", jurisdiction="eu") as journal:
        journal.append(record("a"))
        await journal.written()
        assert ids_in(tmp_path) == ["a"]
        journal.append(record("b"))
        assert ids_in(tmp_path) == ["a", "b"]
        assert journal.healthy
    [segment] = segments_of(tmp_path / "r1", "usage")
    header = read_header(segment.path)
    assert (header.replica, header.region, header.jurisdiction, header.first) == ("r1", "eu-west", "eu", 1)


async def test_a_second_process_of_the_name_writes_beside_the_first(tmp_path: Path) -> None:
    """As while one drains and its successor begins; the first folder is used again afterwards."""
    async with open_usage_journal(tmp_path, "r1") as one, open_usage_journal(tmp_path, "r1") as other:
        one.append(record("a"))
        other.append(record("b"))
    async with open_usage_journal(tmp_path, "r1") as again:
        again.append(record("c"))
    assert ids_in(tmp_path / "r1") == ["a", "c"]
    assert ids_in(tmp_path / "r1.2") == ["b"]
    assert Scan([tmp_path]).findings.whole


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "x" * 64])
async def test_a_replica_has_a_name(tmp_path: Path, name: str) -> None:
    """It becomes a folder."""
    with pytest.raises(ValueError, match="name"):
        async with open_usage_journal(tmp_path, name):
            pass


def test_files_follow_each_other_by_size_and_by_the_hour(tmp_path: Path) -> None:
    """Their names sort as they were written, also when the clock is set back; numbers go on."""
    clock = Clock()
    log = AppendLog(tmp_path, LogSpec("usage", "r1", "", "", 1_000, 3600), number=1, journal="", now=clock)
    journal = UsageJournal(log)
    for index in range(8):
        journal.append(record(f"a{index}"))
    by_size = len(segments_of(tmp_path, "usage"))
    assert by_size > 1
    clock.at_s += 3600
    journal.append(record("later"))
    clock.at_s -= 7200
    journal.append(record("earlier"))
    log.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [segment.path.name for segment in segments_of(tmp_path, "usage")] == names
    assert len(names) == by_size + 2
    assert ids_in(tmp_path) == [*(f"a{index}" for index in range(8)), "later", "earlier"]


def test_a_new_process_goes_on_behind_what_a_crash_tore(tmp_path: Path) -> None:
    """The numbers go on from the last whole line; nothing of the old file is touched."""
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    UsageJournal(log).append(record("a"))
    log.close()
    [segment] = segments_of(tmp_path, "usage")
    with segment.path.open("ab") as file:
        file.write(line_of(record("torn"), 2)[:-20])
    number, journal = resume(tmp_path, "usage", lambda line: record_of(line).number)
    assert number == 2
    log = AppendLog(tmp_path, SPEC, number=number, journal=journal)
    UsageJournal(log).append(record("b"))
    log.close()
    scan = Scan([tmp_path])
    assert [one.request_id for one, _ in scan.records()] == ["a", "b"]
    assert scan.findings.whole
    assert scan.findings.torn == 1


class Disk:
    """Stands before `os.write` and takes so many bytes, then none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room = 1 << 60
        self._write = os.write
        monkeypatch.setattr("trunkline_usage.segment_writer.os.write", self.write)

    def write(self, fd: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, "full")
        some = data[: self.room]
        self.room -= len(some)
        return self._write(fd, some)


def test_a_full_disk_costs_nothing_that_fits_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told by `healthy`; a line that was written in part is taken back; all is written once there is room."""
    disk = Disk(monkeypatch)
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    journal = UsageJournal(log)
    journal.append(record("a"))
    disk.room = 100
    journal.append(record("b"))
    journal.append(record("c"))
    assert not journal.healthy
    assert ids_in(tmp_path) == ["a"]
    log.flush()
    assert not journal.healthy
    disk.room = 1 << 60
    log.flush()
    journal.append(record("d"))
    assert journal.healthy
    log.close()
    scan = Scan([tmp_path])
    assert [one.request_id for one, _ in scan.records()] == ["a", "b", "c", "d"]
    assert scan.findings.whole


def test_what_is_lost_on_a_full_disk_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a count at once, and as missing numbers for whoever reads the files."""
    disk = Disk(monkeypatch)
    monkeypatch.setattr(backlog, "MAX_BACKLOG_BYTES", 500)
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    journal = UsageJournal(log)
    journal.append(record("a"))
    disk.room = 0
    for index in range(10):
        journal.append(record(f"b{index}"))
    assert 0 < journal.lost < 10
    disk.room = 1 << 60
    log.flush()
    journal.append(record("c"))
    log.close()
    scan = Scan([tmp_path])
    assert sum(1 for _ in scan.records()) == 12 - journal.lost
    assert scan.findings.missing == journal.lost


def test_what_waits_at_the_end_is_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could write it later."""
    disk = Disk(monkeypatch)
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    journal = UsageJournal(log)
    journal.append(record("a"))
    disk.room = 0
    journal.append(record("b"))
    assert journal.lost == 0
    log.close()
    assert journal.lost == 1
    assert ids_in(tmp_path) == ["a"]


def test_a_record_that_is_none_is_lost_and_stops_nobody(tmp_path: Path) -> None:
    """Append raises nothing: a defect of the maker must not fail the request."""
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    journal = UsageJournal(log)
    journal.append(record("a"))
    journal.append(record(at_s=float("nan")))
    journal.append(record("b"))
    log.close()
    assert journal.lost == 1
    assert ids_in(tmp_path) == ["a", "b"]


def test_a_sync_that_fails_leaves_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel kept of it is not known any more; another file follows, and health comes back with it."""
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    journal = UsageJournal(log)
    journal.append(record("a"))
    with monkeypatch.context() as patch:
        patch.setattr(
            "trunkline_usage.segment_writer.os.fdatasync",
            lambda fd: (_ for _ in ()).throw(OSError(errno.EIO, "broken")),
        )
        log.sync()
    assert not journal.healthy
    journal.append(record("b"))
    log.sync()
    assert journal.healthy
    log.close()
    assert len(segments_of(tmp_path, "usage")) == 2
    assert ids_in(tmp_path) == ["a", "b"]


def test_the_thread_writes_what_waited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another request; closing waits for all of it."""
    disk = Disk(monkeypatch)
    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    sync = GroupSync(log)
    sync.start()
    disk.room = 0
    UsageJournal(log).append(record("a"))
    disk.room = 1 << 60
    sync.close()
    assert log.healthy
    assert ids_in(tmp_path) == ["a"]


def test_the_thread_survives_what_goes_wrong_beside_it(tmp_path: Path) -> None:
    """Lines go on to be written."""
    asked = threading.Event()

    def tend() -> None:
        asked.set()
        raise ValueError("a defect")

    log = AppendLog(tmp_path, SPEC, number=1, journal="")
    sync = GroupSync(log, tend)
    sync.start()
    UsageJournal(log).append(record("a"))
    assert asked.wait(30)
    UsageJournal(log).append(record("b"))
    sync.close()
    assert ids_in(tmp_path) == ["a", "b"]


class Stall:
    """Stands before a call to the disk, and holds it up while it is shut."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        self._open = threading.Event()
        self._open.set()
        self.entered = threading.Event()
        self.threads: set[str] = set()
        self._call = getattr(os, name)
        monkeypatch.setattr(f"trunkline_usage.segment_writer.os.{name}", self.call)

    def shut(self) -> None:
        self.entered.clear()
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def call(self, *given: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        self.entered.set()
        assert self._open.wait(30)
        return self._call(*given)


async def test_a_disk_that_stalls_keeps_no_loop_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread writes: answers wait for it within a bound, health tells, and all is written afterwards."""
    writes, clock = Stall(monkeypatch, "write"), Clock(0.0)
    log = AppendLog(tmp_path, SPEC, number=1, journal="", pace=(pace := DiskPace("usage", clock)))
    sync, journal = GroupSync(log), UsageJournal(log)
    sync.start()
    try:
        journal.append(record("a"))
        await journal.written()
        assert writes.threads == {WRITER}  # a file was begun
        clock.at_s += 2 * SLOW_S
        pace.wrote(0.0)
        writes.shut()
        journal.append(record("b"))
        await asyncio.to_thread(writes.entered.wait, 30)
        journal.append(record("c"))
        while journal.healthy:
            await journal.written()
        assert ids_in(tmp_path) == ["a"]
        writes.open()
        while log.waiting:  # noqa: ASYNC110  # nobody waits for a disk that has stalled, so nobody is told
            await asyncio.sleep(0.001)
        assert journal.healthy
        assert ids_in(tmp_path) == ["a", "b", "c"]
        assert writes.threads == {WRITER}
    finally:
        writes.open()
        await asyncio.to_thread(sync.close)


async def test_a_sync_that_hangs_has_the_thread_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the loop would write then might hang, too."""
    syncs, clock = Stall(monkeypatch, "fdatasync"), Clock(0.0)
    log = AppendLog(tmp_path, SPEC, number=1, journal="", pace=DiskPace("usage", clock))
    sync, journal = GroupSync(log), UsageJournal(log)
    syncs.shut()
    sync.start()
    try:
        journal.append(record("a"))
        await asyncio.to_thread(syncs.entered.wait, 30)
        journal.append(record("b"))
        assert ids_in(tmp_path) == ["a", "b"]
        clock.at_s += 2 * SLOW_S
        journal.append(record("c"))
        while journal.healthy:
            await journal.written()
        assert ids_in(tmp_path) == ["a", "b"]
    finally:
        syncs.open()
        await asyncio.to_thread(sync.close)
    assert ids_in(tmp_path) == ["a", "b", "c"]


def test_a_disk_is_trusted_again_after_a_while(tmp_path: Path) -> None:
    """In which neither a write nor a sync was slow."""
    clock = Clock(0.0)
    pace = DiskPace("usage", clock)
    assert pace.quick()
    pace.sync_begins()
    clock.at_s += SLOW_S
    assert pace.quick()
    clock.at_s += 0.001
    assert not pace.quick()
    pace.sync_ends()
    clock.at_s += REST_S - 0.001
    assert not pace.quick()
    pace.wrote(clock.at_s - SLOW_S - 0.001)
    clock.at_s += REST_S - 0.001
    assert not pace.quick()
    clock.at_s += 0.002
    assert pace.quick()
    pace.wrote(clock.at_s - SLOW_S)
    assert pace.quick()


_CHILD = """
import os, resource, signal, sys
from pathlib import Path
from tests.unit.usage.making import SPEC, record
from trunkline_usage.append_log import AppendLog
from trunkline_usage.journal import UsageJournal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, resource.RLIM_INFINITY))
log = AppendLog(Path(sys.argv[1]), SPEC, number=1, journal="")
journal = UsageJournal(log)
for index in range(40):
    journal.append(record(f"r{index}"))
assert not journal.healthy
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.flush()
assert journal.healthy
print("written", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_real_limit_of_the_kernel_is_survived(tmp_path: Path) -> None:
    """It takes a part of a line, then none, as a full disk does; then the process is killed without a close."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert "written" in done.stdout
    scan = Scan([tmp_path])
    assert [one.request_id for one, _ in scan.records()] == [f"r{index}" for index in range(40)]
    assert scan.findings.whole
    assert scan.findings.torn == 0
