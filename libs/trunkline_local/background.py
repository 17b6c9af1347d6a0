"""A stack that goes on after the command that started it: start, status, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local import _guardian
from trunkline_local.child import pidfd_readable
from trunkline_local.errors import StackNotRunningError, StackRunningError, StackStartError
from trunkline_local.files import write_private
from trunkline_local.logfile import open_log, read_tail
from trunkline_local.progress import UP_LINE, OnProgress, Progress
from trunkline_local.run_dir import claim
from trunkline_local.spec import StackSpec
from trunkline_local.state import Phase, StackState, read_state

STOP_WITHIN_S: Final = 30.0
SPEC_FILE: Final = "spec.json"
LOG_FILE: Final = "supervisor.log"
ERROR_BYTES: Final = 16 << 10
"""Enough for an error that carries the end of a child's log."""


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What is known of a run directory's stack."""

    state: StackState | None
    """What its owner wrote last; None if there never was one."""
    running: bool
    """Whether that owner is alive: the very process, not one that got its id later."""

    @property
    def stale(self) -> bool:
        """Whether the owner died without a word: the state says running but nobody is there."""
        return self.state is not None and not self.running and self.state.phase is not Phase.STOPPED


def read_status(run_dir: Path) -> StackStatus:
    """Return the status of a run directory's stack. Raises LocalError if another version wrote it."""
    state = read_state(run_dir)
    alive = state is not None and state.phase is not Phase.STOPPED and state.owner.alive()
    return StackStatus(state, alive)


async def start_background(spec: StackSpec, *, on_progress: OnProgress | None = None) -> StackState:
    """Start a stack under a supervisor of its own and return once everything is up.

    The supervisor outlives this process. Cancelled meanwhile (Ctrl-C), everything is stopped again. Raises
    StackRunningError if one runs there already and StackStartError, with the end of the supervisor's log, if it fails.
    """
    running = read_status(spec.run_dir)
    if running.running and running.state is not None:
        raise StackRunningError(f"a stack already runs in {spec.run_dir} (process {running.state.owner.pid})")
    reader_fd, writer_fd = os.pipe()
    try:
        supervisor = _launch(spec, writer_fd)
    except BaseException:
        os.close(reader_fd)
        raise
    finally:
        os.close(writer_fd)
    try:
        up = await _follow(reader_fd, on_progress)
    except BaseException:
        supervisor.terminate()
        await _wait(supervisor, STOP_WITHIN_S)
        raise
    state = read_state(spec.run_dir)
    if not up or state is None:
        await _wait(supervisor, STOP_WITHIN_S)
        raise StackStartError(f"the stack could not be started:\n{read_tail(spec.run_dir / LOG_FILE, ERROR_BYTES)}")
    return state


async def stop_background(run_dir: Path, *, within_s: float = STOP_WITHIN_S) -> None:
    """Stop a stack: SIGTERM to its owner, SIGKILL after `within_s` seconds; returns when no process of it is left.

    What a dead owner left behind is cleared away too. Raises StackNotRunningError if there is nothing to stop.
    """
    status = read_status(run_dir)
    state = status.state
    if state is None or not (status.running or status.stale):
        raise StackNotRunningError(f"no stack runs in {run_dir}")
    if status.running:
        await _end_owner(state, within_s)
    await asyncio.to_thread(_guardian.sweep, state.run_id)
    last = read_state(run_dir)
    if last is not None and last.run_id == state.run_id and last.phase is not Phase.STOPPED:
        last.model_copy(update={"phase": Phase.STOPPED}).write()


def _launch(spec: StackSpec, report_fd: int) -> subprocess.Popen[bytes]:
    claim(spec.run_dir)
    spec_path, log_path = spec.run_dir / SPEC_FILE, spec.run_dir / LOG_FILE
    write_private(spec_path, spec.to_json().encode())
    log_path.unlink(missing_ok=True)
    log = open_log(log_path)
    try:
        return subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "trunkline_local.supervisor", str(spec_path), str(report_fd)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.run_dir,
            pass_fds=(report_fd,),
            start_new_session=True,
        )
    finally:
        os.close(log)


async def _follow(descriptor: int, on_progress: OnProgress | None) -> bool:
    """Pass on what the supervisor reports; True once it says that all is up, False if it ends before."""
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb")
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), pipe
    )
    try:
        while line := await reader.readline():
            if line == UP_LINE:
                return True
            if on_progress is not None:
                on_progress(Progress.model_validate_json(line))
        return False
    finally:
        transport.close()


async def _end_owner(state: StackState, within_s: float) -> None:
    try:
        owner = os.pidfd_open(state.owner.pid)
    except ProcessLookupError:
        return
    try:
        if not state.owner.alive():  # its id was given to another process between the two looks
            return
        signal.pidfd_send_signal(owner, signal.SIGTERM)
        try:
            async with asyncio.timeout(within_s):
                await pidfd_readable(owner)
        except TimeoutError:
            signal.pidfd_send_signal(owner, signal.SIGKILL)
            await pidfd_readable(owner)
    finally:
        os.close(owner)


async def _wait(process: subprocess.Popen[bytes], within_s: float) -> None:
    try:
        await asyncio.to_thread(process.wait, within_s)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)
