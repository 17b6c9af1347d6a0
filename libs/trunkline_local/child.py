"""One supervised process and the group it leads: wait, stop, kill, pause, resume."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from trunkline_local.logfile import TAIL_BYTES, read_tail

STOP_WITHIN_S: Final = 10.0
"""Default time between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Command:
    """What to start: a program by its absolute path, arguments, and what its environment has beside the parent's."""

    name: str
    """Name in messages and of the log file; unique within a host."""
    argv: Sequence[str]
    log_path: Path
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_within_s: float = STOP_WITHIN_S
    """Time between SIGTERM and SIGKILL when it is stopped."""


class Child:
    """A process started by a `ProcessHost`, leader of a session and process group of its own.

    Signals go to the whole group, so a service's workers share its fate. When the leader ends for whatever reason, the
    rest of its group is killed before the leader is reaped: until then its id cannot belong to anybody else.
    """

    def __init__(self, command: Command, popen: subprocess.Popen[bytes]) -> None:
        self.command = command
        self.started_at_s = time.time()
        self._popen = popen
        self._exit_code: int | None = None
        self._paused = False

    @property
    def name(self) -> str:
        """Name of the process."""
        return self.command.name

    @property
    def pid(self) -> int:
        """Process id, which is its group's and session's id too."""
        return self._popen.pid

    @property
    def paused(self) -> bool:
        """Whether `pause` was called and neither `resume` nor an end followed."""
        return self._paused and self._exit_code is None

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), or None while it runs. Reaps it."""
        if self._exit_code is None:
            with suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    return None
            self._signal_group(signal.SIGKILL)
            self._exit_code = self._popen.wait()
        return self._exit_code

    async def wait(self) -> int:
        """Wait until it ends and return its exit code. Several may wait at once, in any event loop."""
        code = self.poll()
        while code is None:
            await _exited(self.pid)
            code = self.poll()
        return code

    def terminate(self) -> None:
        """Ask the leader alone to end (SIGTERM); it ends its workers itself. A paused group is resumed first."""
        if self.poll() is None:
            self.resume()
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Kill the whole group (SIGKILL), as `kill -9` would; `wait` afterwards to reap it."""
        if self.poll() is None:
            self._signal_group(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze the whole group (SIGSTOP): its ports stay open and nothing answers."""
        if self.poll() is None:
            self._signal_group(signal.SIGSTOP)
            self._paused = True

    def resume(self) -> None:
        """Let a frozen group go on (SIGCONT)."""
        if self._paused and self.poll() is None:
            self._signal_group(signal.SIGCONT)
        self._paused = False

    async def stop(self, *, within_s: float | None = None) -> int:
        """Terminate, wait at most `within_s` seconds (default: the command's), then kill the group; return the code.

        Cancelled, it kills at once and lets the cancellation go on.
        """
        self.terminate()
        try:
            async with asyncio.timeout(self.command.stop_within_s if within_s is None else within_s):
                return await self.wait()
        except TimeoutError:
            return await self._kill_and_wait()
        except asyncio.CancelledError:
            self.kill()
            raise

    async def _kill_and_wait(self) -> int:
        self.kill()
        return await self.wait()

    def reap(self) -> int:
        """Block until it has ended; only after `kill`."""
        while (code := self.poll()) is None:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        return code

    def log_tail(self, max_bytes: int = TAIL_BYTES) -> str:
        """Return the end of what it wrote."""
        return read_tail(self.command.log_path, max_bytes)

    def _signal_group(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):  # the group is gone, or only a zombie is left of it
            os.killpg(self.pid, number)


async def _exited(pid: int) -> None:
    """Wait until a child of this process is a zombie; does not reap it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        await pidfd_readable(descriptor)
    finally:
        os.close(descriptor)


async def pidfd_readable(descriptor: int) -> None:
    """Wait until the process of a pidfd has ended."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(descriptor, _resolve, ended)
    try:
        await ended
    finally:
        loop.remove_reader(descriptor)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
