"""What is printed is safe, plain in a pipe, and JSON for programs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from trunkline_cli.output import Output, clean, one_line, progress


def _output(as_json: bool = False) -> tuple[Output, io.StringIO]:
    stream = io.StringIO()
    return Output(as_json, Console(file=stream, width=80)), stream


def test_documents_cannot_steer_the_terminal() -> None:
    """Escape sequences and other control characters of a document are shown as a mark, not obeyed."""
    assert clean("a\x1b[31mb\x07\x9bc\td\ne") == "a\ufffd[31mb\ufffd\ufffdc\td\ne"


def test_markup_of_documents_is_printed_as_it_is() -> None:
    """Square brackets are text."""
    out, stream = _output()

    out.line("[bold]x[/bold] [link=http://x.example]y[/link]")

    assert stream.getvalue() == "[bold]x[/bold] [link=http://x.example]y[/link]\n"


def test_one_line_is_short_and_flat() -> None:
    """Long texts are cut with a mark."""
    assert one_line("a\n  b\tc", 10) == "a b c"
    assert one_line("x" * 20, 10) == "x" * 9 + "\u2026"


def test_json_mode_prints_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """Programs read one line."""
    out, stream = _output(as_json=True)

    out.line("hello")
    out.table(("a",), [("b",)])
    out.data({"k": "ä"})

    assert stream.getvalue() == ""
    assert json.loads(capsys.readouterr().out) == {"k": "ä"}


def test_tables_are_tab_separated_in_a_pipe() -> None:
    """What is not a terminal gets lines that can be cut."""
    out, stream = _output()

    out.table(("name", "state"), [("etcd", "running"), ("triton", "dead")])

    assert stream.getvalue() == "etcd\trunning\ntriton\tdead\n"


def test_progress_in_a_pipe_is_a_few_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """A thousand steps print a beginning and an end, on stderr."""
    with progress("working") as view:
        for done in range(1001):
            view.update(done, 1000)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["working: 0 of 1000", "working: 1000 of 1000"]
