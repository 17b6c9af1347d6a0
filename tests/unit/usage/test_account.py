"""The account counts each request once, exactly, whatever the files, their order and their copies."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.usage.making import NOON_S, few_records, record, write

from trunkline_usage.account import Account, Wanted, account
from trunkline_usage.aggregate import day_of, days_between, winner
from trunkline_usage.export import csv_of, data_of, json_of, save
from trunkline_usage.ledger import open_ledger
from trunkline_usage.records import OK, StageUse, UsageRecord

DAY_S = 86_400


def rows(made: Account) -> list[tuple[object, ...]]:
    return [
        (h.tenant_id, h.day, h.stage, h.collection, h.label_value, a.count, a.tokens, a.cost_micros)
        for h, a in made.lines
    ]


def dearness(one: UsageRecord) -> tuple[int, int]:
    return sum(use.cost_micros for use in one.stages), sum(use.tokens for use in one.stages)


def test_a_retried_request_counts_once_with_its_answer(tmp_path: Path) -> None:
    """In whatever journal; a failed attempt costs nothing beside the answered one."""
    write(tmp_path / "one", [record("a", outcome="OVERLOADED", at_s=NOON_S - 1), record("b")])
    write(tmp_path / "two", [record("a", stages=[StageUse("write", "notes", 3, 3, 30)])])
    made = account([tmp_path], Wanted())
    assert rows(made) == [
        ("acme", "2026-11-21", "embedding", "", "", 1, 1, 20),
        ("acme", "2026-11-21", "search", "notes", "", 1, 1, 0),
        ("acme", "2026-11-21", "write", "notes", "", 3, 3, 30),
    ]
    assert made.requests == {"acme": 2}
    assert (made.repeats, made.answered_again) == (1, 0)


def test_of_two_answers_the_dearest_counts(tmp_path: Path) -> None:
    """One may have left out a stage; and that there were two is told: a lost answer, or a caller that asks again."""
    write(tmp_path / "one", [record("a", at_s=NOON_S + 5, stages=[StageUse("rerank", "notes", 9, 9, 90)])])
    write(tmp_path / "two", [record("a"), record("a")])
    made = account([tmp_path], Wanted())
    assert [row[2] for row in rows(made)] == ["rerank"]
    assert (made.repeats, made.answered_again) == (2, 1)


def test_of_answers_that_cost_the_same_tokens_and_then_the_first_tell() -> None:
    """An answered one comes before a failed one that cost more."""
    few, many = (record(stages=[StageUse("search", "notes", 1, tokens, 5)]) for tokens in (1, 2))
    later, failed = replace(many, at_s=NOON_S + 1), replace(many, outcome="OVERLOADED", at_s=NOON_S - 1)
    dear_failure = replace(failed, stages=(StageUse("rerank", "notes", 1, 9, 900),))
    for one in (few, later, failed, dear_failure):
        assert winner(one, many) == winner(many, one) == many
    assert winner(failed, dear_failure) == dear_failure


@pytest.mark.parametrize("part_bytes", [1 << 20, 800])
def test_dear_requests_cannot_hide_behind_a_free_one_of_the_same_id(tmp_path: Path, part_bytes: int) -> None:
    """A caller chooses its ids; what it asks under one id is told apart by content and kind, here and in the ledger."""
    free = record("same", digest=f"{0:016x}", stages=[StageUse("search", "notes", 1, 1, 0)])
    dear = [
        record("same", digest=f"{1 + index:016x}", at_s=NOON_S + index, stages=[StageUse("rerank", "", 1, 3, 100)])
        for index in range(1000)
    ]
    filled = record("same", digest=free.digest, kind="write", stages=[StageUse("write", "notes", 64, 64, 640)])
    write(tmp_path / "one", [free, *dear, filled])
    write(tmp_path / "two", [replace(dear[7], at_s=NOON_S + 2000), replace(dear[8], outcome="OVERLOADED")])
    made = account([tmp_path], Wanted(), part_bytes=part_bytes)
    assert {row[2]: row[-1] for row in rows(made)} == {"search": 0, "rerank": 100_000, "write": 640}
    assert (made.requests, made.repeats) == ({"acme": 1002}, 2)
    with open_ledger(None, tmp_path) as ledger:
        assert ledger.refresh(60)
        used = ledger.used("acme", "2026-11-21", "2026-11-21")
    assert (used.requests, sum(amount.cost_micros for _, amount in used.lines)) == (1002, 100_640)


def test_the_same_id_of_two_tenants_is_two_requests(tmp_path: Path) -> None:
    """Nobody can hide behind another's id."""
    write(tmp_path, [record("a"), record("a", tenant_id="zeta")])
    assert account([tmp_path], Wanted()).requests == {"acme": 1, "zeta": 1}
    assert account([tmp_path], Wanted(tenant_id="zeta")).requests == {"zeta": 1}


@given(st.lists(few_records, min_size=2, max_size=6))
def test_which_record_counts_depends_on_no_order(records: list[UsageRecord]) -> None:
    """One answered, if there is one; the dearest of those, and the first of these."""
    forwards, backwards = records[0], records[-1]
    for one in records[1:]:
        forwards = winner(forwards, one)
    for one in reversed(records[:-1]):
        backwards = winner(backwards, one)
    assert forwards == backwards
    assert forwards.outcome == OK or all(one.outcome != OK for one in records)
    rivals = [one for one in records if one.outcome == forwards.outcome]
    assert dearness(forwards) == max(map(dearness, rivals))
    assert forwards.at_s == min(one.at_s for one in rivals if dearness(one) == dearness(forwards))


@settings(max_examples=40, deadline=None)
@given(st.lists(few_records, max_size=14), st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_account_is_the_same_from_any_files(records: list[UsageRecord], chance: object, files: int) -> None:
    """In any order, spread over any journals, copied, and whether or not it fits in memory; the ledger agrees."""
    mixed = [*records, *records[: len(records) // 2]]
    chance.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis' own Random
    with TemporaryDirectory() as made:
        root = Path(made)
        write(root / "plain" / "one", records)
        for index in range(files):
            write(root / "mixed" / str(index), mixed[index::files])
        shutil.copytree(root / "mixed" / "0", root / "mixed" / "copy")
        for label in ("", "team"):
            expected = csv_of(account([root / "plain"], Wanted(label=label)))
            assert csv_of(account([root / "mixed"], Wanted(label=label))) == expected
            assert csv_of(account([root / "mixed"], Wanted(label=label), part_bytes=200)) == expected
        with open_ledger(None, root / "mixed") as ledger:
            assert ledger.refresh(60)
            for tenant in ("acme", "zeta"):
                whole = account([root / "plain"], Wanted(tenant_id=tenant, label="team"))
                used = ledger.used(tenant, "0000-01-01", "9999-12-31", "team")
                assert used.requests == whole.requests.get(tenant, 0)
                kept = [(heading, amount) for heading, amount in whole.lines if amount != type(amount)()]
                assert list(used.lines) == kept


def test_days_are_those_of_the_tenant(tmp_path: Path) -> None:
    """Also where the clocks change, and where the offset is no whole hour."""
    write(
        tmp_path,
        [
            record("utc", at_s=NOON_S - 12 * 3600 - 1),
            record("auckland", tenant_id="kiwi", time_zone="Pacific/Auckland"),
            record("kathmandu", tenant_id="hill", time_zone="Asia/Kathmandu", at_s=NOON_S + 6.25 * 3600),
            record("unknown", tenant_id="mars", time_zone="Mars/Olympus"),
        ],
    )
    days = {row[0]: row[1] for row in rows(account([tmp_path], Wanted()))}
    assert days == {"acme": "2026-11-20", "kiwi": "2026-11-22", "hill": "2026-11-22", "mars": "2026-11-21"}
    assert day_of(NOON_S + 6.25 * 3600 - 1, "Asia/Kathmandu") == "2026-11-21"


def test_an_account_of_some_days(tmp_path: Path) -> None:
    """A repeat on the day after takes its request with it; accounts of single days add up to that of all of them."""
    records = [record(f"{index}", at_s=NOON_S + index * DAY_S / 3) for index in range(12)]
    repeats = [
        record("4", at_s=NOON_S + 2 * DAY_S),
        record("late", outcome="OVERLOADED"),
        record("late", at_s=NOON_S + DAY_S),
    ]
    write(tmp_path, [*records, *repeats])
    days = [f"2026-11-{day}" for day in range(20, 28)]
    single = [account([tmp_path], Wanted(first_day=day, last_day=day)) for day in days]
    whole = account([tmp_path], Wanted(first_day=days[0], last_day=days[-1]))
    assert [row for each in single for row in rows(each)] == rows(whole)
    assert sum(each.requests.get("acme", 0) for each in single) == whole.requests["acme"] == 13


@pytest.mark.parametrize("day", ["2026-13-01", "yesterday"])
def test_days_that_are_none_are_refused(tmp_path: Path, day: str) -> None:
    """Before anything is read."""
    with pytest.raises(ValueError, match=r"day|format|month|Invalid"):
        account([tmp_path], Wanted(first_day=day))


def test_days_between() -> None:
    """Both included."""
    assert days_between("2026-02-28", "2026-03-01") == 2


def test_progress_ends_with_all_of_it(tmp_path: Path) -> None:
    """In bytes."""
    write(tmp_path, [record(f"{index}") for index in range(50)])
    told: list[tuple[int, int]] = []
    account([tmp_path], Wanted(), progress=lambda done, total: told.append((done, total)))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert told[-1] == (size, size)


def test_exports_are_exact_and_the_same_each_time(tmp_path: Path) -> None:
    """The JSON names the digest of the CSV; texts with commas, quotes and line ends come back as they were."""
    odd = 'a "b", c\nd'
    write(tmp_path / "in", [record(labels=(("team", odd),), stages=[StageUse("write", "n", 10**12, 1, 10**12)])])
    made = account([tmp_path / "in"], Wanted(label="team"))
    assert csv_of(made).decode().splitlines(keepends=True)[1:] == [
        'acme,2026-11-21,write,n,"a ""b"", c\n', 'd",1000000000000,1,1000000000000,1\r\n',
    ]  # fmt: skip
    digest = save(tmp_path / "out.csv", csv_of(made))
    data = data_of(made, "EUR")
    assert data["csv_sha256"] == digest
    assert data["price_versions"] == ["1"]
    assert data["lines"][0]["label_value"] == odd
    assert json_of(made, "EUR") == json_of(account([tmp_path / "in"], Wanted(label="team"), part_bytes=1), "EUR")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out.csv"]


def test_parts_that_are_still_too_large_are_divided_again(tmp_path: Path) -> None:
    """And what has one id stays together to the end."""
    records: Sequence[UsageRecord] = [record(f"{index % 300}", at_s=NOON_S + index) for index in range(900)]
    write(tmp_path, records)
    made = account([tmp_path], Wanted(), part_bytes=800)
    assert made.requests == {"acme": 300}
    assert made.repeats == 600
    assert csv_of(made) == csv_of(account([tmp_path], Wanted()))
