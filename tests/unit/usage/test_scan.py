"""Reading journals tells what is damaged, missing and torn; removing old ones takes nothing that is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.usage.making import NOON_S, SPEC, record, write

from trunkline_usage.prune import old_segments
from trunkline_usage.scan import Findings, Scan
from trunkline_usage.segment_writer import LogSpec
from trunkline_usage.segments import segments_of

SMALL = LogSpec("usage", "r1", "", "", 700, 3600)
"""Three records a file."""


def scanned(root: Path) -> tuple[list[str], Findings]:
    scan = Scan([root])
    return [one.request_id for one, _ in scan.records()], scan.findings


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return a folder with several files of three records each."""
    folder = tmp_path / "r1"
    write(folder, [record(f"{index}") for index in range(9)], spec=SMALL)
    assert [len(lines_of(segment.path)) for segment in segments_of(folder, "usage")] == [4, 4, 4]
    return folder


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def test_a_whole_journal_is_whole(journal: Path) -> None:
    """All records in their order."""
    ids, found = scanned(journal)
    assert ids == [str(index) for index in range(9)]
    assert found.whole
    assert (found.folders, found.files, found.records) == (1, 3, 9)


def test_a_damaged_line_costs_itself_alone(journal: Path) -> None:
    """And is told with its place."""
    path = segments_of(journal, "usage")[1].path
    path.write_bytes(path.read_bytes().replace(b'"id":"4"', b'"id":"x"'))
    ids, found = scanned(journal)
    assert ids == [str(index) for index in range(9) if index != 4]
    assert (found.damaged, found.missing) == (1, 0)
    assert (found.problems[0].path, found.problems[0].line) == (path, 3)


def test_a_line_that_was_taken_out_is_missing(journal: Path) -> None:
    """Within a file, and at a file's end."""
    one, other, _ = (segment.path for segment in segments_of(journal, "usage"))
    one.write_bytes(b"".join(lines_of(one)[:-1]))
    other.write_bytes(b"".join(line for line in lines_of(other) if b'"id":"4"' not in line))
    _, found = scanned(journal)
    assert (found.damaged, found.missing) == (0, 2)


def test_a_file_that_was_taken_out_is_missing(journal: Path) -> None:
    """Between two others; at the front it was pruned."""
    first, middle, _ = (segment.path for segment in segments_of(journal, "usage"))
    middle.unlink()
    assert scanned(journal)[1].missing_files == 1
    first.unlink()
    assert scanned(journal)[1].whole


def test_a_file_of_another_format_is_damage(journal: Path) -> None:
    """Its records are read as far as they can be."""
    path = segments_of(journal, "usage")[0].path
    path.write_bytes(path.read_bytes().replace(b'"format":1', b'"format":9'))
    ids, found = scanned(journal)
    assert len(ids) == 9
    assert found.damaged == 1


def test_a_line_that_is_too_long_costs_itself_alone(journal: Path) -> None:
    """It is not held in memory."""
    path = segments_of(journal, "usage")[0].path
    head, *rest = lines_of(path)
    path.write_bytes(head + b"x" * 3_000_000 + b"\n" + b"".join(rest))
    ids, found = scanned(journal)
    assert len(ids) == 9
    assert found.damaged == 1


def test_a_torn_end_is_told_and_no_damage(journal: Path) -> None:
    """Its writer may be at it."""
    path = segments_of(journal, "usage")[-1].path
    path.write_bytes(path.read_bytes()[:-5])
    ids, found = scanned(journal)
    assert len(ids) == 8
    assert found.whole
    assert found.torn == 1


def test_a_folder_is_read_once(journal: Path) -> None:
    """However often it is named."""
    scan = Scan([journal, journal.parent, journal / "."])
    assert sum(1 for _ in scan.records()) == 9


def test_pruning_finds_what_is_before_a_day_everywhere(tmp_path: Path) -> None:
    """In the first time zone in which the day begins; the last file stays, and so does all behind one that stays."""
    day_s = 86_400
    records = [record(f"{index}", at_s=NOON_S + (index // 3) * day_s) for index in range(12)]
    write(tmp_path / "r1", records, spec=SMALL)
    assert [old.path.name[-9:-6] for old in old_segments([tmp_path], "2026-11-22")] == []
    assert len(old_segments([tmp_path], "2026-11-23")) == 1
    assert len(old_segments([tmp_path], "2026-11-24")) == 2
    assert len(old_segments([tmp_path], "2099-01-01")) == 3
    first = segments_of(tmp_path / "r1", "usage")[0].path
    first.write_bytes(first.read_bytes().replace(b'"id":"0"', b'"id":"x"'))
    assert old_segments([tmp_path], "2099-01-01") == []


def test_pruning_wants_a_day(tmp_path: Path) -> None:
    """Before it looks at anything."""
    with pytest.raises(ValueError, match="Invalid"):
        old_segments([tmp_path], "last month")


def test_the_spec_of_the_tests_is_one_file(tmp_path: Path) -> None:
    """So that tests of single files are that."""
    write(tmp_path, [record(f"{index}") for index in range(100)], spec=SPEC)
    assert len(segments_of(tmp_path, "usage")) == 1
