"""The audit of searches: hashes and never a text, chained, and tied to nobody once a salt is gone."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from tests.unit.usage.making import NOON_S, Clock

from trunkline_usage.day_salts import DaySalts
from trunkline_usage.records import DamagedLineError
from trunkline_usage.salts import Salts, hash_of
from trunkline_usage.search_audit import SearchAudit, open_search_audit
from trunkline_usage.search_lines import ALLOWED, SearchLine, search_line_of
from trunkline_usage.search_reader import Asked, SearchReader
from trunkline_usage.segments import segments_of

DAY_S = 86_400
SECRET = "the merger of Quux and Corge, sk-live-0123456789"


def note(audit: SearchAudit, **changed: Any) -> None:
    told: dict[str, Any] = {
        "tenant_id": "acme",
        "caller": "svc-search",
        "query": "how do I find a leak",
        "collections": ("notes", "docs"),
        "region": "eu-west",
        "jurisdiction": "eu",
        "outcome": ALLOWED,
        "request_id": "r-1",
    }
    audit.note(**{**told, **changed})


def lines(root: Path, **asked: Any) -> list[SearchLine]:
    reader = SearchReader(root)
    found = list(reader.searches(Asked(**asked)))
    assert reader.problems == []
    return found


def folders(root: Path) -> list[str]:
    return sorted(path.parent.name for path in root.rglob("*.jsonl"))


def all_bytes(root: Path) -> bytes:
    return b"".join(path.read_bytes() for path in root.rglob("*") if path.is_file())


async def test_a_line_tells_who_searched_what(tmp_path: Path) -> None:
    """Allowed or denied; it is there before the answer leaves."""
    clock = Clock(NOON_S + 0.25)
    async with open_search_audit(tmp_path, "r1", now=clock) as audit:
        note(audit)
        note(audit, outcome="QUOTA_EXHAUSTED", caller="", query=None, collections=())
        await audit.written()
        allowed, denied = lines(tmp_path)
    assert allowed.time == "2026-11-21T12:00:00.250Z"
    assert (allowed.tenant, allowed.collections, allowed.region, allowed.jurisdiction) == (
        "acme", ("notes", "docs"), "eu-west", "eu",
    )  # fmt: skip
    assert (allowed.outcome, allowed.reason, allowed.request_id) == ("allowed", "", "r-1")
    assert len(allowed.caller) == len(allowed.query) == 32
    assert (denied.outcome, denied.reason, denied.caller, denied.query) == ("denied", "QUOTA_EXHAUSTED", "", "")


async def test_a_search_by_vector_has_a_hash_too(tmp_path: Path) -> None:
    """Equal vectors have equal ones; a vector's is no text's, and its numbers stand nowhere."""
    async with open_search_audit(tmp_path, "r1") as audit:
        for query in (b"minilm, numbers", "minilm, numbers", b"minilm, numbers"):
            note(audit, query=query)
    one, text, again = (line.query for line in lines(tmp_path))
    assert one == again != text
    assert len(one) == 32
    assert b"numbers" not in all_bytes(tmp_path)


async def test_no_text_gets_in(tmp_path: Path) -> None:
    """Wherever a caller puts it, and whatever it is called."""
    async with open_search_audit(tmp_path, "r1") as audit:
        for place in ("query", "caller", "tenant_id", "region", "jurisdiction", "outcome", "request_id"):
            note(audit, **{place: SECRET})
        note(audit, collections=[SECRET, "notes"])
        note(audit, query="\ud800 lone surrogates do no harm")
    written = all_bytes(tmp_path)
    for word in (SECRET, "merger", "Quux", "0123456789", "svc-search"):
        assert word.encode() not in written
    assert lines(tmp_path)[7].collections == ("?", "notes")


async def test_hashes_of_a_day_are_joined_and_of_two_days_are_not(tmp_path: Path) -> None:
    """By writers of one folder alike; a caller's hash is never a query's."""
    clock = Clock()
    async with (
        open_search_audit(tmp_path, "r1", now=clock) as one,
        open_search_audit(tmp_path, "r2", now=clock) as other,
    ):
        note(one, caller="x", query="x")
        note(other, caller="x", query="x")
        clock.at_s += DAY_S
        note(one, caller="x", query="x")
    first, second, beside = lines(tmp_path)
    assert first.caller == beside.caller != second.caller
    assert first.query == beside.query != second.query
    assert first.query != first.caller
    names = [path.name for path in sorted((tmp_path / "salts").iterdir())]
    assert names[:2] == ["2026-11-21.salt", "2026-11-22.salt"]
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in (tmp_path / "salts").iterdir())


async def test_a_salt_is_destroyed_when_its_time_is_over(tmp_path: Path) -> None:
    """Then nobody finds a caller's lines of that day any more, and is told why."""
    clock = Clock()
    for days, found in ((0, 1), (2, 2), (1, 2)):
        clock.at_s += days * DAY_S
        async with open_search_audit(tmp_path, "r1", keep_salt_days=2, now=clock) as audit:
            note(audit)
        assert len(lines(tmp_path, caller="svc-search", query="how do I find a leak")) == found
    reader = SearchReader(tmp_path)
    assert len(list(reader.searches(Asked(caller="svc-search")))) == 2
    assert reader.saltless == {"2026-11-21"}


async def test_asking(tmp_path: Path) -> None:
    """By tenant, day, and what was denied."""
    clock = Clock()
    async with open_search_audit(tmp_path, "r1", now=clock) as audit:
        note(audit, tenant_id="zeta")
        clock.at_s += DAY_S
        note(audit, outcome="TENANT_SUSPENDED")
    assert [line.tenant for line in lines(tmp_path, tenant="zeta")] == ["zeta"]
    assert [line.tenant for line in lines(tmp_path, day="2026-11-22")] == ["acme"]
    assert [line.reason for line in lines(tmp_path, denied=True)] == ["TENANT_SUSPENDED"]


async def test_the_chain_goes_on_over_files_and_processes(tmp_path: Path) -> None:
    """And breaks where a line is altered or taken out."""
    for round_ in range(2):
        async with open_search_audit(tmp_path, "r1", segment_bytes=900) as audit:
            for index in range(5):
                note(audit, request_id=f"{round_}-{index}")
                await audit.written()
    assert len(lines(tmp_path)) == 10
    paths = [segment.path for segment in segments_of(tmp_path / "r1", "searches")]
    assert len(paths) > 3
    whole = paths[1].read_bytes()
    for damaged in (whole.replace(b'"acme"', b'"zeta"', 1), b"".join(whole.splitlines(keepends=True)[:-1]), whole[:-9]):
        paths[1].write_bytes(damaged)
        reader = SearchReader(tmp_path)
        assert list(reader.searches(Asked()))
        assert len(reader.problems) == 1
    paths[1].write_bytes(whole)
    paths[0].unlink()
    reader = SearchReader(tmp_path)
    assert list(reader.searches(Asked()))
    assert (reader.problems, reader.begins_late) == ([], [tmp_path / "r1"])


async def test_a_salt_that_cannot_be_kept_stops_nobody(tmp_path: Path) -> None:
    """Lines go on with a salt that only this process knows."""
    (tmp_path / "salts").write_text("in the way")
    async with open_search_audit(tmp_path, "r1") as audit:
        note(audit)
        note(audit)
        await audit.written()
        one, other = lines(tmp_path)
    assert one.caller == other.caller != ""


def test_a_salt_is_there_before_its_day(tmp_path: Path) -> None:
    """So that the day's first search waits for no file; where the clock jumps, the process has one of its own."""
    clock = Clock()
    salts = DaySalts(Salts(tmp_path, 1), clock)
    salts.prepare()
    today, tomorrow = (salts.of(clock.at_s + days * DAY_S) for days in (0, 1))
    assert tomorrow == Salts(tmp_path, 1).of(date(2026, 11, 22))
    clock.at_s += DAY_S
    assert salts.of(clock.at_s) == tomorrow
    salts.prepare()
    assert salts.of(clock.at_s) == tomorrow != today
    clock.at_s += 9 * DAY_S
    own = salts.of(clock.at_s)
    assert salts.of(clock.at_s) == own
    salts.prepare()
    assert salts.of(clock.at_s) == Salts(tmp_path, 1).of(date(2026, 12, 1)) != own
    assert sorted(path.name for path in (tmp_path / "salts").iterdir()) == ["2026-12-01.salt", "2026-12-02.salt"]


async def test_lines_are_removed_when_their_time_is_over(tmp_path: Path) -> None:
    """By whole files, of all writers of the folder; never the file that somebody writes to."""
    clock = Clock()
    async with (
        open_search_audit(tmp_path, "gone", now=clock, segment_bytes=1) as gone,
        open_search_audit(tmp_path, "quiet", now=clock) as quiet,
    ):
        for audit in (gone, gone, quiet):
            note(audit)
            await audit.written()
        for days in (0, 9, 3):
            clock.at_s += days * DAY_S
            async with open_search_audit(tmp_path, "r1", keep_days=10, now=clock) as audit:
                note(audit)
        assert folders(tmp_path) == ["gone", "quiet", "r1", "r1"]
    async with open_search_audit(tmp_path, "r1", keep_days=10, now=clock) as audit:
        note(audit)
    assert folders(tmp_path) == ["r1", "r1", "r1"]
    assert [line.time[:10] for line in lines(tmp_path)] == ["2026-11-30", "2026-12-03", "2026-12-03"]


async def test_lines_may_be_kept_for_ever(tmp_path: Path) -> None:
    """With 0 days."""
    clock = Clock()
    for _ in range(2):
        async with open_search_audit(tmp_path, "r1", keep_days=0, now=clock) as audit:
            note(audit)
        clock.at_s += 4_000 * DAY_S
    assert len(lines(tmp_path)) == 2


def test_writers_agree_on_a_salt(tmp_path: Path) -> None:
    """Whoever is first; a damaged one is no salt."""
    today = date(2026, 11, 21)
    one, other = Salts(tmp_path, 1), Salts(tmp_path, 1)
    assert one.ensure(today) == other.ensure(today) == one.of(today)
    (tmp_path / "salts" / "2026-11-22.salt").write_bytes(b"short")
    assert one.of(date(2026, 11, 22)) is None
    with pytest.raises(OSError, match="no salt"):
        one.ensure(date(2026, 11, 22))
    assert hash_of("caller", "x", b"1" * 32) != hash_of("caller", "x", b"2" * 32)
    assert sorted(path.name for path in (tmp_path / "salts").iterdir()) == ["2026-11-21.salt", "2026-11-22.salt"]
    (tmp_path / "salts" / "2020-02-31.salt").write_bytes(b"no day")
    assert one.destroy_old(date(2026, 11, 23)) == 1


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"n":"1"}', b"\xff"])
def test_lines_that_are_none(line: bytes) -> None:
    """Are told as such."""
    with pytest.raises(DamagedLineError):
        search_line_of(line)
