"""Owns child processes and answers for it that none outlives this process, however it ends.

Three nets, one below the other:
1. `close` stops every child (on Ctrl-C too, through `async with`) and kills whatever still carries the run's mark.
2. The kernel kills every child when the thread that started it ends (see `_deathsig`): `kill -9` and crashes.
3. The guardian notices the end of this process on a pipe and kills the children's children too (see `_guardian`).
"""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from trunkline_local import _guardian
from trunkline_local.child import Child, Command
from trunkline_local.errors import LocalError, PlatformUnsupportedError, WrongThreadError
from trunkline_local.logfile import open_log

MAX_CHILDREN: Final = 256
_FOLDER: Final = Path(__file__).parent
_BARE_PYTHON: Final = (sys.executable, "-I", "-S", "-B")
"""An interpreter without site packages and environment: it starts in about 10 ms."""


class ProcessHost:
    """Starts children and ends them. Use it as an async context manager, from the main thread."""

    def __init__(self) -> None:
        self.run_id: Final = secrets.token_hex(8)
        """Mark of this run; every process of it has it in its environment."""
        self._children: list[Child] = []
        self._guardian: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def children(self) -> tuple[Child, ...]:
        """Children that were started and not yet found ended, oldest first."""
        return tuple(child for child in self._children if child.poll() is None)

    def spawn(self, command: Command) -> Child:
        """Start a child, its output appended to its log. Blocks for about 2 ms, until the interpreter is executed.

        Raises WrongThreadError outside the main thread: the kernel ties the parent-death signal to the thread that
        forks, not to the process, and the main thread is the one that lasts. Raises PlatformUnsupportedError where
        there is no pidfd, LocalError when `MAX_CHILDREN` run.
        """
        if threading.current_thread() is not threading.main_thread():
            raise WrongThreadError(f"{command.name} must be started from the main thread")
        if not hasattr(os, "pidfd_open"):
            raise PlatformUnsupportedError("supervision needs Linux 5.3 or newer")
        self._children = list(self.children)
        if len(self._children) >= MAX_CHILDREN:
            raise LocalError(f"{MAX_CHILDREN} processes run already")
        if self._guardian is None:
            self._guardian = _start_guardian(self.run_id)
        log = open_log(command.log_path)
        try:
            popen = subprocess.Popen(  # noqa: S603 - a fixed interpreter and shim, no shell
                [*_BARE_PYTHON, str(_FOLDER / "_deathsig.py"), str(os.getpid()), *command.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=command.cwd,
                env=self._environment(command.env),
                start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we stop children in order
            )
        finally:
            os.close(log)
        child = Child(command, popen)
        self._children.append(child)
        return child

    async def close(self, *, within_s: float | None = None) -> None:
        """Stop all children together, sweep the run and end the guardian. Idempotent.

        Each child has `within_s` seconds, by default what its command says, between SIGTERM and SIGKILL.
        """
        try:
            await asyncio.gather(*(child.stop(within_s=within_s) for child in self.children))
        finally:  # also when this was cancelled: nothing is left, only less politely
            self.kill_all()
            guardian, self._guardian = self._guardian, None
            if guardian is not None:
                _guardian.sweep(self.run_id)
                _end_guardian(guardian)

    def kill_all(self) -> None:
        """Kill every child's group and reap it; blocks for the few milliseconds that the kernel needs."""
        for child in self.children:
            child.kill()
        for child in self._children:
            child.reap()
        self._children.clear()

    def _environment(self, extra: Mapping[str, str]) -> dict[str, str]:
        # Settings that the user's shell happens to hold must not reach services: each gets its own, complete.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
        return inherited | dict(extra) | {_guardian.RUN_VARIABLE: self.run_id}


def _start_guardian(run_id: str) -> subprocess.Popen[bytes]:
    unmarked = {name: value for name, value in os.environ.items() if name != _guardian.RUN_VARIABLE}
    return subprocess.Popen(  # noqa: S603 - a fixed interpreter and script, no shell
        [*_BARE_PYTHON, str(_FOLDER / "_guardian.py"), run_id],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=unmarked,
        start_new_session=True,
    )


def _end_guardian(guardian: subprocess.Popen[bytes]) -> None:
    pipe: IO[bytes] | None = guardian.stdin
    assert pipe is not None
    pipe.close()
    try:
        guardian.wait(timeout=_guardian.SWEEP_WITHIN_S + 1.0)
    except subprocess.TimeoutExpired:
        guardian.kill()
        guardian.wait()
