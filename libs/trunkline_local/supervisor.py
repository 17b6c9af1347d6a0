"""Owns a stack in the background: `python -m trunkline_local.supervisor SPEC [REPORT_FD]`.

Started by `start_background` in a session of its own. Writes progress as lines of JSON to REPORT_FD, then `null` when
everything is up, and closes it. Runs until SIGTERM or SIGINT, also during the start, then stops everything. A process
that dies meanwhile is recorded in `stack.json` and logged; nothing is restarted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from trunkline_local.errors import LocalError
from trunkline_local.progress import UP_LINE, Progress
from trunkline_local.spec import StackSpec
from trunkline_local.stack import open_stack
from trunkline_local.state import ProcessRecord

log = logging.getLogger(__name__)


class Reporter:
    """Writes lines to whoever started us, as long as they listen."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def progress(self, step: Progress) -> None:
        """Tell a step."""
        self._write(step.model_dump_json().encode() + b"\n")

    def up(self) -> None:
        """Tell that everything is up, and hang up."""
        self._write(UP_LINE)
        self._hang_up()

    def _write(self, line: bytes) -> None:
        if self._descriptor is None:
            return
        try:
            os.write(self._descriptor, line)
        except OSError:  # they left, or do not read; the stack goes on
            self._hang_up()

    def _hang_up(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


async def supervise(spec: StackSpec, reporter: Reporter) -> None:
    """Run a stack until this task is cancelled. Raises what `LocalStack.start` raises."""
    async with open_stack(spec, on_progress=reporter.progress, on_death=_log_death):
        log.info("the stack in %s is up", spec.run_dir)
        reporter.up()
        await asyncio.Event().wait()


async def _main(spec: StackSpec, reporter: Reporter) -> int:
    task = asyncio.ensure_future(supervise(spec, reporter))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _cancel_once, task)
    try:
        await task
    except asyncio.CancelledError:
        log.info("the stack in %s is down", spec.run_dir)
        return 0
    except LocalError as exc:
        sys.stderr.write(f"{exc}\n")  # for the person at the terminal, who is shown the end of this log
        return 1
    return 0


def _cancel_once(task: asyncio.Task[None]) -> None:
    """Cancel unless that was done: a second cancellation would cut the orderly stop short."""
    if not task.cancelling():
        task.cancel()


def _log_death(process: ProcessRecord) -> None:
    log.error("%s died with exit code %s; its log is %s", process.name, process.exit_code, process.log_path)


def main(argv: list[str] | None = None) -> int:
    """Run the supervisor; return the exit code: 0 after a stop, 1 if the stack could not be started."""
    arguments = sys.argv[1:] if argv is None else argv
    spec = StackSpec.from_json(Path(arguments[0]).read_bytes())
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return asyncio.run(_main(spec, Reporter(int(arguments[1]) if len(arguments) > 1 else None)))


if __name__ == "__main__":
    sys.exit(main())
