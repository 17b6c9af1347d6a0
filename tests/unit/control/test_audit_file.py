"""The audit log's files: chained, whole after any crash, rotated, and with one writer."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline_map import audit
from trunkline_routing.control.audit_file import AuditBusyError, AuditDamagedError, AuditFile

BIG = 1 << 20


def change(revision: int, **more: Any) -> dict[str, Any]:
    return {"revision": revision, "entry": f"regions/r-{revision}", "token": "", **more}


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def written(directory: Path, revisions: range, *, max_bytes: int = BIG) -> None:
    file = AuditFile(directory, max_bytes)
    with file.opened():
        for revision in revisions:
            file.append([change(revision)])


def chained(count: int) -> list[bytes]:
    """Lines as a writer writes them."""
    lines: list[bytes] = []
    for revision in range(1, count + 1):
        previous = audit.hash_of(lines[-1][:-1]) if lines else audit.GENESIS
        lines.append(audit.line_of(change(revision), previous) + b"\n")
    return lines


def test_lines_are_chained_and_found_again(tmp_path: Path) -> None:
    """By a writer that comes later, too."""
    written(tmp_path, range(1, 4))
    written(tmp_path, range(4, 6))

    report = audit.verify(tmp_path)

    assert report.whole
    assert (report.files, report.lines, report.first_revision, report.last_revision) == (1, 5, 1, 5)
    assert report.begins_with == audit.GENESIS
    assert [line["revision"] for line in audit.read(tmp_path)] == [1, 2, 3, 4, 5]


def test_the_next_file_follows_the_one_before(tmp_path: Path) -> None:
    """The chain goes over the border; without the first files it is followed from where it begins."""
    written(tmp_path, range(1, 10), max_bytes=300)
    files = audit.files_of(tmp_path)
    assert len(files) > 2
    assert audit.verify(tmp_path).lines == 9

    files[0].unlink()

    report = audit.verify(tmp_path)
    assert report.whole
    assert report.begins_with != audit.GENESIS
    written(tmp_path, range(10, 11), max_bytes=300)
    assert audit.verify(tmp_path).last_revision == 10
    assert audit.verify(files[1]).whole


def test_a_file_that_is_missing_between_others_is_told(tmp_path: Path) -> None:
    """Its lines are gone."""
    written(tmp_path, range(1, 10), max_bytes=300)
    audit.files_of(tmp_path)[1].unlink()

    problem = audit.verify(tmp_path).problem

    assert problem is not None
    assert problem.line == 0


def test_an_empty_log_is_whole(tmp_path: Path) -> None:
    """Before the first change."""
    assert audit.verify(tmp_path).whole
    written(tmp_path, range(0))
    assert (audit.verify(tmp_path).lines, audit.verify(tmp_path).last_hash) == (0, audit.GENESIS)


@given(
    st.integers(2, 6).flatmap(lambda count: st.tuples(st.just(count), st.integers(0, count - 1))),
    st.sampled_from(["alter", "remove", "repeat", "exchange", "forge"]),
)
def test_no_line_is_tampered_with_unseen(place: tuple[int, int], how: str) -> None:
    """Altered, removed, repeated, exchanged or written anew without the rest: the chain breaks there or after it."""
    count, index = place
    with folder() as directory:
        path = directory / audit.file_name(1)
        lines = chained(count)
        path.write_bytes(b"".join(lines))
        last_hash = audit.verify(directory).last_hash
        if how == "alter":
            lines[index] = lines[index].replace(b"regions/", b"spaces/")
        elif how == "remove":
            del lines[index]
        elif how == "repeat":
            lines.insert(index, lines[index])
        elif how == "exchange":
            lines[index], lines[index - 1] = lines[index - 1], lines[index]
        else:
            told = json.loads(lines[index])
            lines[index] = audit.line_of(change(99), told["previous"]) + b"\n"
        path.write_bytes(b"".join(lines))

        report = audit.verify(directory)

        # Only at the very end it takes the noted hash to see it.
        assert not report.whole or report.last_hash != last_hash


@given(st.data())
def test_a_writer_goes_on_after_any_crash(data: st.DataObject) -> None:
    """Whatever part of its last write reached the disk: whole lines stay, a torn one goes, and the chain holds."""
    with folder() as directory:
        border = data.draw(st.integers(0, 3))
        lines = chained(3)
        whole = b"".join(lines[border:])
        if border:
            (directory / audit.file_name(1)).write_bytes(b"".join(lines[:border]))
        cut = data.draw(st.integers(0, len(whole)))
        (directory / audit.file_name(2 if border else 1)).write_bytes(whole[:cut])
        kept = audit.verify(directory).last_revision

        file = AuditFile(directory, BIG)
        with file.opened():
            assert (file.last or {"revision": 0})["revision"] == kept
            file.append([change(revision) for revision in range(kept + 1, 6)])

        assert [line["revision"] for line in audit.read(directory)] == [1, 2, 3, 4, 5]
        assert audit.verify(directory).whole


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_any_bytes_are_told_and_never_raise(lines: list[bytes]) -> None:
    """The verifier reads what anybody may have written."""
    with folder() as directory:
        text = b"\n".join(lines)
        (directory / audit.file_name(1)).write_bytes(text)

        report = audit.verify(directory)

        assert report.whole == (b"\n" not in text)
        assert report.torn == (report.whole and bool(text))


def test_a_directory_has_one_writer(tmp_path: Path) -> None:
    """The second waits until the first is gone."""
    first, second = AuditFile(tmp_path, BIG), AuditFile(tmp_path, BIG)
    with first.opened():
        with pytest.raises(AuditBusyError), second.opened():
            pass
        first.append([change(1)])
    with second.opened():
        second.append([change(2)])

    assert audit.verify(tmp_path).lines == 2


@pytest.mark.parametrize("line", [b"{}\n", b"[]\n", b"no json\n", b'{"revision": 1}\n'])
def test_nothing_is_added_to_what_is_no_log(tmp_path: Path, line: bytes) -> None:
    """Somebody should look first."""
    (tmp_path / audit.file_name(1)).write_bytes(line)

    with pytest.raises(AuditDamagedError), AuditFile(tmp_path, BIG).opened():
        pass

    assert (tmp_path / audit.file_name(1)).read_bytes() == line


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk takes part of a line; the next try begins on a clean end."""
    file = AuditFile(tmp_path, BIG)
    with file.opened():
        file.append([change(1)])
        with monkeypatch.context() as patched:

            def fail(_fd: int) -> None:
                raise OSError(28, "no space")

            patched.setattr("trunkline_routing.control.audit_file.os.fsync", fail)
            with pytest.raises(OSError, match="no space"):
                file.append([change(2)])
        file.append([change(2)])

    assert audit.verify(tmp_path).whole
    assert [line["revision"] for line in audit.read(tmp_path)] == [1, 2]
