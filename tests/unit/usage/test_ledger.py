"""The running account: exact for what it has read, through restarts and copies, within its bounds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from tests.unit.usage.making import NOON_S, SPEC, record, write

from trunkline_usage.append_log import AppendLog
from trunkline_usage.ledger import KEPT_DAYS, Ledger, open_ledger
from trunkline_usage.records import StageUse, UsageRecord, line_of


class Writer:
    """A journal that stays open."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._log = AppendLog(folder, SPEC, number=1, journal="")

    def append(self, *records: UsageRecord) -> None:
        for one in records:
            self._log.append(line_of(one, self._log.next_number))

    def close(self) -> None:
        self._log.close()


def tokens(ledger: Ledger) -> tuple[int, int]:
    """Return the requests and the tokens of acme on the day of most records."""
    assert ledger.refresh(60)
    used = ledger.used("acme", "2026-11-21", "2026-11-21")
    return used.requests, sum(amount.tokens for _, amount in used.lines)


def test_it_follows_a_journal_that_grows(tmp_path: Path) -> None:
    """A line that is still being written is counted when it is whole; a repeat changes what it must."""
    writer = Writer(tmp_path / "r1")
    with open_ledger(None, tmp_path) as ledger:
        assert tokens(ledger) == (0, 0)
        writer.append(record("a"), record("b", outcome="OVERLOADED"))
        assert tokens(ledger) == (2, 4)
        writer.append(record("b", at_s=NOON_S + 1, stages=[StageUse("write", "notes", 5, 5, 50)]), record("a"))
        assert tokens(ledger) == (2, 7)
        [path] = (tmp_path / "r1").glob("*.jsonl")
        line = line_of(record("c"), 5)
        with path.open("ab") as file:
            file.write(line[:50])
            file.flush()
            assert tokens(ledger) == (2, 7)
            file.write(line[50:])
        assert tokens(ledger) == (3, 9)
    writer.close()


def test_a_restart_reads_nothing_twice(tmp_path: Path) -> None:
    """And nothing is lost, also of journals that were pruned in between."""
    writer = Writer(tmp_path / "in" / "r1")
    state = tmp_path / "state" / "ledger.db"
    writer.append(record("a"))
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (1, 2)
    writer.append(record("b"), record("a"))
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (2, 4)
    writer.close()
    for path in (tmp_path / "in" / "r1").iterdir():
        path.unlink()
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (2, 4)


def test_two_processes_share_one(tmp_path: Path) -> None:
    """Each counts what the other has not."""
    writer = Writer(tmp_path / "in" / "r1")
    state = tmp_path / "ledger.db"
    with open_ledger(state, tmp_path / "in") as one, open_ledger(state, tmp_path / "in") as other:
        writer.append(record("a"))
        assert tokens(one) == tokens(other) == (1, 2)
        writer.append(record("b"))
        assert tokens(other) == tokens(one) == (2, 4)
    writer.close()


@pytest.mark.parametrize("damage", [b"no database at all " * 100, b""])
def test_a_damaged_one_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    """It is derived from the journals."""
    write(tmp_path / "in", [record("a")])
    state = tmp_path / "ledger.db"
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (1, 2)
    state.write_bytes(damage)
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (1, 2)


def test_one_of_another_version_is_made_anew(tmp_path: Path) -> None:
    """Its tables may be others."""
    write(tmp_path / "in", [record("a")])
    state = tmp_path / "ledger.db"
    made = sqlite3.connect(state)
    made.execute("CREATE TABLE sums (other TEXT)")
    made.execute("PRAGMA user_version = 99")
    made.close()
    with open_ledger(state, tmp_path / "in") as ledger:
        assert tokens(ledger) == (1, 2)


def test_a_locked_one_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody uses it."""
    monkeypatch.setattr("trunkline_usage.ledger.BUSY_S", 0.01)
    state = tmp_path / "ledger.db"
    with open_ledger(state, tmp_path):
        pass
    before = state.stat().st_ino
    holder = sqlite3.connect(state, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(sqlite3.OperationalError), open_ledger(state, tmp_path):
        pass
    holder.close()
    assert state.stat().st_ino == before


def test_ids_and_days_are_bounded(tmp_path: Path) -> None:
    """Only the last so many requests are told from repeats; days long gone are dropped."""
    long_ago = record("old", at_s=NOON_S - (KEPT_DAYS + 2) * 86_400)
    write(tmp_path, [long_ago, *(record(f"{index}") for index in range(20))])
    with open_ledger(None, tmp_path) as opened:
        ledger = Ledger(opened._database, tmp_path, max_ids=5, now=lambda: NOON_S)
        assert tokens(ledger) == (20, 40)
        assert opened._database.execute("SELECT count(*) FROM seen").fetchone() == (5,)
        assert ledger.used("acme", "0000-01-01", "2026-11-20").requests == 0


def test_little_time_is_enough_in_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call goes on where the last one ended; only a full pass says that all is counted."""
    monkeypatch.setattr("trunkline_usage.ledger.BATCH_LINES", 4)
    write(tmp_path, [record(f"{index}") for index in range(20)])
    with open_ledger(None, tmp_path) as ledger:
        calls = 1
        while not ledger.refresh(-1):
            assert ledger.complete_until_s == 0
            calls += 1
        assert calls > 3
        assert ledger.complete_until_s > 0
        assert tokens(ledger) == (20, 40)


def test_damage_costs_itself_alone(tmp_path: Path) -> None:
    """The ledger goes on; who bills is told by the account."""
    write(tmp_path, [record("a"), record("b")])
    [path] = tmp_path.glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"id":"a"', b'"id":"x"'))
    with open_ledger(None, tmp_path) as ledger:
        assert tokens(ledger) == (1, 2)
        assert ledger.damaged == 1
