"""Exit codes, and how failures become one line with a reason and advice instead of a traceback."""

from __future__ import annotations

import functools
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, ParamSpec, TypeVar

import typer

from trunkline_client import TrunklineError

P = ParamSpec("P")
R = TypeVar("R")

START: Final = "start one with `trunkline up`"
_NOT_REPEATED: Final = frozenset({"--approval", "--token"})
_TOLD: Final = {
    "entry": "entry",
    "usedBy": "used by",
    "nextBatch": "next batch",
    "limit": "limit",
    "allowed": "allowed",
}
"""Variables of refusals without which a person cannot act, and the words before them."""
_LOCAL_EXTRA: Final = "pip install 'trunkline[local]'"


class Exit(IntEnum):
    """What the command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    REFUSED = 3
    """A service refused with a reason of the contract."""
    NOT_RUNNING = 4
    """The command needs a running stack, and there is none."""
    INTERRUPTED = 130
    BROKEN_PIPE = 141
    """Nobody reads the output any more; the code that a shell reports for SIGPIPE."""


class CliError(Exception):
    """A failure with its exit code and what to do about it."""

    def __init__(self, message: str, *, advice: str = "", code: Exit = Exit.FAILED, reason: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.code = code
        self.reason = reason


def not_running(run_dir: object, *, advice: str = START) -> CliError:
    """Return the failure of a command that needs a stack."""
    return CliError(f"no stack runs in {run_dir}", advice=advice, code=Exit.NOT_RUNNING)


def guarded(command: Callable[P, R]) -> Callable[P, R]:
    """Wrap a command: expected failures end it with one line on stderr (or a JSON object with `--json`)."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (KeyboardInterrupt, typer.Abort):
            report(CliError("stopped", code=Exit.INTERRUPTED), as_json=False)
            raise typer.Exit(Exit.INTERRUPTED) from None
        except (typer.Exit, SystemExit):
            raise
        except BrokenPipeError:
            # Whoever read the output, `head` for example, has enough; what is still buffered must not fail at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(Exit.BROKEN_PIPE) from None
        except Exception as exc:  # the last place before the user; everything becomes one line
            failure = explain(exc)
            if failure is None:
                if os.environ.get("TRUNKLINE_DEBUG"):
                    raise
                failure = CliError(
                    f"unexpected {type(exc).__name__}: {exc}",
                    advice="a defect of this program; run it again with TRUNKLINE_DEBUG=1 and report what it prints",
                )
            report(failure, as_json=bool(kwargs.get("json_output")), detail=_detail(exc))
            raise typer.Exit(failure.code) from None

    return run


def explain(exc: BaseException) -> CliError | None:
    """Return the failure that an exception means to the user; None for a defect of this program."""
    if isinstance(exc, BaseExceptionGroup):
        return explain(exc.exceptions[0])
    if isinstance(exc, CliError):
        return exc
    if isinstance(exc, TrunklineError):
        fields = "".join(f"; {problem.field} {problem.description}" for problem in exc.fields)
        fields += "".join(f" ({word} {exc.metadata[key]})" for key, word in _TOLD.items() if key in exc.metadata)
        return CliError(
            f"{exc.message.rstrip('. ')}{fields}",
            advice=_approval_advice(exc) or exc.hint,
            code=Exit.REFUSED if exc.reason else Exit.FAILED,
            reason=exc.reason,
        )
    if isinstance(exc, ModuleNotFoundError):
        return CliError(f"{exc.name} is not installed", advice=_LOCAL_EXTRA)
    local = _explain_local(exc)
    if local is not None:
        return local
    if isinstance(exc, OSError):
        where = f"{exc.filename}: " if exc.filename else ""
        return CliError(f"{where}{exc.strerror or exc}")
    return None


def _approval_advice(exc: TrunklineError) -> str:
    """Return what to type next where a second person is needed: the other operator, then this one."""
    approval_id = exc.metadata.get("approvalId", "")
    if exc.reason != "APPROVAL_REQUIRED" or not approval_id:
        return ""
    repeat = shlex.join(["trunkline", *_told_again(sys.argv[1:]), "--approval", approval_id])
    return f"another operator runs `trunkline approval approve {approval_id}`, then you run `{repeat}`"


def _told_again(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments of a repeat: without an earlier approval, and never a credential."""
    rest = iter(arguments)
    for word in rest:
        if word in _NOT_REPEATED:
            next(rest, None)
        elif word.partition("=")[0] not in _NOT_REPEATED:
            yield word


def _explain_local(exc: BaseException) -> CliError | None:
    # Not imported here: a caller's machine need not have the local stack.
    library = sys.modules.get("trunkline_local.errors")
    if library is None or not isinstance(exc, library.LocalError):
        return None
    if isinstance(exc, library.StackNotRunningError):
        return CliError(str(exc), code=Exit.NOT_RUNNING, advice=START)
    if isinstance(exc, library.StackRunningError):
        return CliError(str(exc), advice="stop it with `trunkline down`, or give another --run-dir")
    return CliError(str(exc), advice="`trunkline doctor` says what this machine lacks")


def report(failure: CliError, *, as_json: bool, detail: Mapping[str, Any] | None = None) -> None:
    """Tell a failure: a line on stderr, or one JSON object on stdout for programs."""
    if as_json:
        error = {"reason": failure.reason, "message": failure.message, "advice": failure.advice, **(detail or {})}
        sys.stdout.write(json.dumps({"error": error}) + "\n")
        return
    reason = f"{failure.reason}: " if failure.reason else ""
    advice = f" - {failure.advice}" if failure.advice else ""
    sys.stderr.write(f"error: {reason}{failure.message.rstrip('. ')}{advice}\n")
    attempts = (detail or {}).get("attempts", ())
    for attempt in attempts if len(attempts) > 1 else ():
        where = f"{attempt['region']} {attempt['target']}".strip()
        sys.stderr.write(f"  tried {where}: {attempt['outcome']}\n")


def _detail(exc: BaseException) -> Mapping[str, Any]:
    if isinstance(exc, BaseExceptionGroup):
        return _detail(exc.exceptions[0])
    if not isinstance(exc, TrunklineError):
        return {}
    return {
        "status": exc.status,
        "request_id": exc.request_id,
        "retry_delay_s": exc.retry_delay_s,
        "metadata": dict(exc.metadata),
        "fields": [{"field": item.field, "description": item.description} for item in exc.fields],
        "attempts": [
            {"region": item.region, "target": item.target, "outcome": item.outcome, "elapsed_s": item.elapsed_s}
            for item in exc.attempts
        ],
    }
