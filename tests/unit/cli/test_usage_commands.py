"""`trunkline usage` and `trunkline audit searches` over real folders."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from tests.unit.usage.making import NOON_S, Clock, record, write
from typer.testing import CliRunner, Result

from trunkline_cli.app import app
from trunkline_cli.exits import CliError, Exit
from trunkline_cli.usage.days import days_of
from trunkline_cli.usage.view import money
from trunkline_usage.prices import default_prices_text
from trunkline_usage.records import StageUse
from trunkline_usage.search_audit import open_search_audit
from trunkline_usage.segment_writer import LogSpec


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """Return a folder with a journal of two days, one record of it twice."""
    records = [record("a"), record("b", at_s=NOON_S + 86_400), record("a")]
    write(tmp_path / "in" / "r1", [*records, record("z", tenant_id="zeta", stages=[StageUse("write", "n", 2, 2, 20)])])
    return tmp_path / "in"


def test_an_account_is_printed(journals: Path) -> None:
    """As lines, CSV or JSON; what was repeated is told beside it."""
    shown = run("usage", "account", journals, "--tenant", "acme")
    assert shown.exit_code == 0
    assert "acme\t2026-11-21\tembedding\t-\t1\t1\t0.000020\t1" in shown.stdout
    assert "2 requests, 0.000040 EUR" in shown.stdout
    assert "1 repeats are not counted" in shown.stderr
    as_csv = run("usage", "account", journals, "--day", "2026-11-22", "--label", "team", "--csv")
    assert as_csv.stdout.splitlines()[1:] == [
        "acme,2026-11-22,embedding,,blue,1,1,20,1",
        "acme,2026-11-22,search,notes,blue,1,1,0,1",
    ]
    as_json = json.loads(run("usage", "account", journals, "--month", "2026-11", "--json").stdout)
    assert as_json["requests"] == {"acme": 2, "zeta": 1}
    assert as_json["cost_micros"] == 60


def test_an_account_is_written_with_its_digest(journals: Path, tmp_path: Path) -> None:
    """The same each time, whatever the order of the folders."""
    digests = set()
    for name, folders in (("one.csv", [journals]), ("two.csv", [journals / "r1", journals])):
        path = tmp_path / name
        assert run("usage", "account", *folders, "-o", path).exit_code == 0
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    written = run("usage", "account", journals, "-o", tmp_path / "one.json")
    assert hashlib.sha256((tmp_path / "one.json").read_bytes()).hexdigest() in written.stderr
    assert {json.loads((tmp_path / "one.json").read_text())["csv_sha256"]} == digests


def test_damaged_journals_are_told_and_not_billed(journals: Path) -> None:
    """Unless somebody wants what can be read."""
    [path] = (journals / "r1").glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"id":"b"', b'"id":"x"'))
    assert run("usage", "account", journals).exit_code == Exit.FAILED
    assert "1 requests" in run("usage", "account", journals, "--tenant", "acme", "--allow-damaged").stdout
    verified = run("usage", "verify", journals, "--json")
    assert verified.exit_code == Exit.FAILED
    told = json.loads(verified.stdout)
    assert (told["damaged"], told["whole"], told["problems"][0]["line"]) == (1, False, 3)


def test_whole_journals_verify(journals: Path) -> None:
    """In words."""
    verified = run("usage", "verify", journals)
    assert verified.exit_code == 0
    assert "4 records in 1 files of 1 journals; whole" in verified.stdout


def test_pruning_asks_first(tmp_path: Path) -> None:
    """A program must say --yes; nothing goes in a dry run."""
    small = LogSpec("usage", "r1", "", "", 300, 3600)
    write(tmp_path / "r1", [record(f"{index}") for index in range(4)], spec=small)
    before = sorted((tmp_path / "r1").iterdir())
    assert run("usage", "prune", tmp_path, "--before", "2026-12-01").exit_code == Exit.USAGE
    assert run("usage", "prune", tmp_path, "--before", "soon", "--yes").exit_code == Exit.USAGE
    dry = json.loads(run("usage", "prune", tmp_path, "--before", "2026-12-01", "--dry-run", "--json").stdout)
    assert sorted((tmp_path / "r1").iterdir()) == before
    assert dry["files"] == [str(path) for path in before[:-1]]
    assert run("usage", "prune", tmp_path, "--before", "2026-12-01", "--yes").exit_code == 0
    assert sorted((tmp_path / "r1").iterdir()) == before[-1:]


def test_prices_are_shown_and_checked(tmp_path: Path) -> None:
    """The package's own file can be begun with."""
    path = tmp_path / "prices.yaml"
    path.write_text(run("usage", "prices", "show", "--yaml").stdout)
    assert path.read_text() == default_prices_text()
    assert json.loads(run("usage", "prices", "show", path, "--json").stdout)["versions"][0]["micros"]["rerank"] == 100
    assert "1 holds now, in EUR" in run("usage", "prices", "check", path).stdout
    path.write_text(path.read_text().replace("rerank: 100", "rerank: -1"))
    wrong = run("usage", "prices", "check", path)
    assert wrong.exit_code == Exit.FAILED
    assert "versions.0.micros.rerank" in wrong.stderr


async def test_searches_are_told_in_hashes(tmp_path: Path) -> None:
    """By tenant, day and caller; a broken chain fails."""
    root = tmp_path / "searches"
    async with open_search_audit(root, "r1", now=Clock()) as audit:
        for tenant, outcome in (("acme", "allowed"), ("acme", "QUOTA_EXHAUSTED"), ("zeta", "allowed")):
            audit.note(
                tenant_id=tenant, caller="svc", query="where is it", collections=["notes"], region="eu-west",
                jurisdiction="eu", outcome=outcome, request_id="r-1",
            )  # fmt: skip
    told = run("audit", "searches", root, "--tenant", "acme", "--day", "2026-11-21", "--json").stdout.splitlines()
    assert [json.loads(line)["outcome"] for line in told] == ["allowed", "denied"]
    (tmp_path / "query").write_text("where is it\n")
    shown = run("audit", "searches", root, "--denied", "--caller", "svc", "--query-file", tmp_path / "query")
    assert shown.exit_code == 0
    assert [line.split("\t")[3] for line in shown.stdout.splitlines()] == ["QUOTA_EXHAUSTED"]
    assert "where is it" not in shown.stdout
    assert run("audit", "searches", root, "--caller", "nobody").stdout == ""
    [path] = (root / "r1").glob("*.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"zeta"', b'"acme"'))
    assert run("audit", "searches", root, "--limit", "0").exit_code == 0  # of the last line nobody tells
    path.write_bytes(path.read_bytes().replace(b"QUOTA_EXHAUSTED", b"OVERLOADED"))
    broken = run("audit", "searches", root, "--limit", "0")
    assert broken.exit_code == Exit.FAILED
    assert "line 4: the line does not follow the one before it" in broken.stderr


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("2026-02-03", "", "", ""), ("2026-02-03", "2026-02-03")),
        (("", "2026-02", "", ""), ("2026-02-01", "2026-02-28")),
        (("", "", "2026-02-03", ""), ("2026-02-03", "")),
        (("", "", "", ""), ("", "")),
    ],
)
def test_days(given: tuple[str, str, str, str], expected: tuple[str, str]) -> None:
    """However they are said."""
    assert days_of(*given) == expected


@pytest.mark.parametrize(
    "given",
    [
        ("2026-02-03", "2026-02", "", ""),
        ("", "2026-2", "", ""),
        ("", "2026-13", "", ""),
        ("20260203", "", "", ""),
        ("", "", "2026-02-03", "2026-02-02"),
    ],
)
def test_days_that_are_none(given: tuple[str, str, str, str]) -> None:
    """Are wrong usage."""
    with pytest.raises(CliError):
        days_of(*given)


def test_money_is_exact() -> None:
    """A float would round."""
    assert money(12_345_678_901_234_567) == "12,345,678,901.234567"
