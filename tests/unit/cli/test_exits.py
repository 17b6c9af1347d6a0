"""Failures become an exit code and one line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from trunkline_cli.exits import CliError, Exit, explain, guarded
from trunkline_client import Conflict, Failure, QuotaExhausted, ResidencyRefused, Unavailable
from trunkline_local import LocalError, StackNotRunningError

_REFUSED = QuotaExhausted(Failure("QUOTA_EXHAUSTED", "RESOURCE_EXHAUSTED", "the quota is spent"), request_id="r1")
_AWAY = Unavailable(Failure("", "UNAVAILABLE", "no router answered"))


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (CliError("x", code=Exit.USAGE), 2),
        (_REFUSED, 3),
        (_AWAY, 1),
        (ExceptionGroup("tasks", [_REFUSED]), 3),
        (StackNotRunningError("none"), 4),
        (LocalError("x"), 1),
        (PermissionError(13, "Permission denied", "f"), 1),
        (ModuleNotFoundError("x", name="jwt"), 1),
        (KeyboardInterrupt(), 130),
        (RuntimeError("defect"), 1),
    ],
    ids=repr,
)
def test_each_failure_has_its_code_and_no_traceback(
    raised: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever goes wrong ends with a documented code and a line on stderr."""

    @guarded
    def command() -> None:
        raise raised

    with pytest.raises(typer.Exit) as caught:
        command()

    captured = capsys.readouterr()
    assert caught.value.exit_code == code
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_programs_get_the_reason_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--json` the refusal is an object with its reason, advice and request id."""

    @guarded
    def command(json_output: bool = False) -> None:
        raise _REFUSED

    with pytest.raises(typer.Exit):
        command(json_output=True)

    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["reason"], error["request_id"]) == ("QUOTA_EXHAUSTED", "r1")
    assert error["advice"]


def test_a_reason_stands_in_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    """People see reason, message and what to do."""
    failure = explain(_REFUSED)

    assert failure is not None
    assert (failure.reason, failure.message) == ("QUOTA_EXHAUSTED", "the quota is spent")
    assert "retry_delay_s" in failure.advice


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A developer can ask for the exception itself."""
    monkeypatch.setenv("TRUNKLINE_DEBUG", "1")

    @guarded
    def command() -> None:
        raise RuntimeError("defect")

    with pytest.raises(RuntimeError):
        command()


def test_an_output_that_nobody_reads_any_more_is_no_failure() -> None:
    """`trunkline status | head -1` ends like other commands that are cut short: silently."""
    program = (
        "from trunkline_cli.exits import guarded\n"
        "import sys, typer\n"
        "@guarded\n"
        "def command():\n"
        "    sys.stdin.readline()\n"  # until the reader is gone
        "    print('x' * 100_000, flush=True)\n"
        "typer.run(command)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(b"\n", timeout=60)

    assert process.returncode == 141
    assert err == b""


def test_a_residency_violation_advises_on_the_map() -> None:
    """An entry that the map cannot take is not healed by more routers."""
    failure = explain(
        ResidencyRefused(Failure("RESIDENCY_VIOLATION", "FAILED_PRECONDITION", "outside"), request_id="r")
    )

    assert failure is not None
    assert "placement" in failure.advice
    assert "router" not in failure.advice


def test_a_second_person_is_told_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repeat is the command itself with the new approval; a credential is never shown."""
    typed = [
        "trunkline",
        "region",
        "drain",
        "eu-west",
        "--comment",
        "new kernel",
        "--token",
        "secret",
        "--approval=old",
    ]
    monkeypatch.setattr("sys.argv", typed)
    failure = Failure("APPROVAL_REQUIRED", "FAILED_PRECONDITION", "needs a second", {"approvalId": "4f1c"})

    told = explain(Conflict(failure))

    assert told is not None
    assert told.advice == (
        "another operator runs `trunkline approval approve 4f1c`, then you run "
        "`trunkline region drain eu-west --comment 'new kernel' --approval 4f1c`"
    )


def test_a_refusal_tells_who_is_in_the_way() -> None:
    """Names without which a person cannot act stand in the message."""
    told = explain(Conflict(Failure("ENTRY_IN_USE", "FAILED_PRECONDITION", "in use", {"usedBy": "acme/notes"})))

    assert told is not None
    assert told.message == "in use (used by acme/notes)"
