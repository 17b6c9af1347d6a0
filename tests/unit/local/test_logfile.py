"""Bounded log files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from trunkline_local.logfile import open_log, read_tail, trim


def test_trimmed_log_keeps_its_end_and_its_writer(tmp_path: Path) -> None:
    """A log over its limit is emptied, its end kept beside it, and the writer goes on without a hole."""
    path = tmp_path / "logs" / "x.log"
    log = open_log(path)
    try:
        os.write(log, b"old line\n" * 1000)
        assert trim(path, limit_bytes=1000, kept_bytes=90)
        os.write(log, b"new line\n")
    finally:
        os.close(log)
    assert path.read_bytes() == b"new line\n"
    assert path.with_name("x.log.1").read_bytes() == b"old line\n" * 10
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()} == {0o600}


def test_log_within_its_limit_is_left_alone(tmp_path: Path) -> None:
    """Nothing is copied or lost below the limit."""
    path = tmp_path / "x.log"
    path.write_bytes(b"line\n")
    assert not trim(path, limit_bytes=5)
    assert path.read_bytes() == b"line\n"


def test_tail_is_whole_lines(tmp_path: Path) -> None:
    """The end of a log starts at a line, and bytes that are no text do no harm."""
    path = tmp_path / "x.log"
    path.write_bytes(b"first\n\xff second\nthird\n")
    assert read_tail(path, 17) == "\ufffd second\nthird"
    assert read_tail(tmp_path / "missing") == ""
