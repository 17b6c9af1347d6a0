"""Keeps one worker process alive: starts it, watches it, and starts it again after a pause when it dies or hangs."""

from __future__ import annotations

import asyncio
import socket
import sys
from enum import Enum
from typing import Any, Final

from trunkline_mesh.deadline import Deadline
from trunkline_mesh.logs import get_logger
from trunkline_mesh.metrics import counter
from trunkline_retrieval.engine.config import EngineConfig
from trunkline_retrieval.engine.connection import Answer, WorkerConnection
from trunkline_retrieval.engine.wire import Notice, Op

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
"""Pauses before a new start double between these; a worker that lived for LONGEST_PAUSE_S starts them afresh."""

START_PATIENCE_S: Final = 30.0
"""A new process that does not report within this is given up."""

HANG_PATIENCE_S: Final = 60.0
"""A worker that owes answers, has announced nothing long and is silent for so long is killed."""

QUIET_S: Final = 2.0
"""A worker that owes answers and is silent for so long, or busy for so long, is not called ready."""

EXIT_PATIENCE_S: Final = 5.0
"""How long a worker may take to close its collections. What it acknowledged is on disk by then: killing is safe."""

_RESTARTS: Final = counter("retrieval_engine_restarts", "Worker processes that died or hung and were replaced.")
_log = get_logger(__name__)


class State(Enum):
    """What a worker can do now."""

    STARTING = "starting"
    """It is being started, for the first time or again."""
    RUNNING = "running"
    BUSY = "busy"
    """It does one long thing and answers nothing meanwhile."""
    CLOSED = "closed"


class WorkerAwayError(Exception):
    """The worker did not become able to answer while the caller had patience."""

    def __init__(self, state: State) -> None:
        """Keep what it was doing."""
        super().__init__(state.value)
        self.state = state


class Supervisor:
    """One worker process and its successors. `start` before use, `close` at the end."""

    def __init__(self, number: int, config: EngineConfig) -> None:
        """Start nothing yet."""
        self.number: Final = number
        self._config = config
        self._state = State.STARTING
        self._state_changed = asyncio.Event()
        self._busy_since_s = 0.0
        self._connection: WorkerConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self.pid: int | None = None
        """Process id of the current worker."""

    @property
    def state(self) -> State:
        """What the worker can do now."""
        return self._state

    @property
    def requests_under_way(self) -> int:
        """Requests that the worker owes an answer."""
        return self._connection.requests_under_way if self._connection is not None else 0

    @property
    def bytes_under_way(self) -> int:
        """Size of those requests."""
        return self._connection.bytes_under_way if self._connection is not None else 0

    def ready(self) -> bool:
        """Return True if it runs and is not silent on what it owes.

        One that opens a collection is busy for some milliseconds. Its callers wait for that; were it not called ready
        meanwhile, every router would take the whole region for lost.
        """
        if self._state is State.BUSY:
            return asyncio.get_running_loop().time() - self._busy_since_s < QUIET_S
        return self._state is State.RUNNING and self._silence_s() < QUIET_S

    def start(self) -> None:
        """Begin to keep a worker alive."""
        self._task = asyncio.create_task(self._keep_alive(), name=f"retrieval-worker-{self.number}")

    async def running(self) -> None:
        """Wait until the worker runs."""
        await self._wait_until_running(None)

    async def ask(self, op: Op, body: Any, deadline: Deadline, patience_s: float) -> Answer:
        """Ask the worker, waiting `patience_s` for one that is starting or busy.

        Raises WorkerAwayError if it stays away, WorkerGoneError if it dies first, TimeoutError at the deadline.
        """
        if self._state is not State.RUNNING:
            await self._wait_until_running(min(patience_s, deadline.remaining_s()))
        connection = self._connection
        if connection is None:
            raise WorkerAwayError(self._state)
        async with asyncio.timeout(deadline.remaining_s()):
            return await connection.ask(op, body, deadline.at_s)

    async def close(self) -> None:
        """End the worker: let it close its collections, kill it if that takes too long."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._set_state(State.CLOSED)

    async def _wait_until_running(self, patience_s: float | None) -> None:
        try:
            async with asyncio.timeout(patience_s):
                while self._state is not State.RUNNING:
                    if self._state is State.CLOSED:
                        raise WorkerAwayError(self._state)
                    await self._state_changed.wait()
        except TimeoutError:
            raise WorkerAwayError(self._state) from None

    def _set_state(self, state: State) -> None:
        """Change the state and wake everybody who waits for a change. What is closed stays closed."""
        if self._state is not State.CLOSED:
            self._state = state
        self._state_changed.set()
        self._state_changed = asyncio.Event()

    def _silence_s(self) -> float:
        """Return for how long the worker has been silent on requests that it owes; 0 if it owes none."""
        connection = self._connection
        if connection is None or connection.requests_under_way == 0:
            return 0.0
        return asyncio.get_running_loop().time() - connection.quiet_since_s

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        pause_s = FIRST_PAUSE_S
        while True:
            started_at_s = loop.time()
            try:
                code = await self._run_one()
            except OSError:
                _log.exception("engine worker could not be started", worker=self.number)
                code = -1
            if loop.time() - started_at_s >= LONGEST_PAUSE_S:
                pause_s = FIRST_PAUSE_S
            _RESTARTS.inc()
            _log.error("engine worker ended", worker=self.number, code=code, seconds=pause_s)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _run_one(self) -> int:
        """Run one process until it ends, hangs or this task is cancelled; return its exit code."""
        loop = asyncio.get_running_loop()
        lost = asyncio.Event()

        def on_lost() -> None:
            self._connection = None
            self._set_state(State.STARTING)
            lost.set()

        ours, theirs = socket.socketpair()
        with theirs:
            _, connection = await loop.create_unix_connection(
                lambda: WorkerConnection(self._on_notice, on_lost), sock=ours
            )
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "trunkline_retrieval.engine.worker",
                    str(theirs.fileno()), str(self.number), self._config.to_json(),
                    stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                )  # fmt: skip
            except BaseException:
                connection.hang_up()
                raise
        self._connection, self.pid = connection, process.pid
        try:
            await self._watch(lost)
            if not lost.is_set():
                process.kill()  # it hangs, so it would not notice that the socket is closed
        finally:
            self._connection, self.pid = None, None
            connection.hang_up()
            await _end(process)
        return process.returncode or 0

    async def _watch(self, lost: asyncio.Event) -> None:
        """Return once the worker's socket is gone, it did not start, or it hangs."""
        loop = asyncio.get_running_loop()
        start_by_s = loop.time() + START_PATIENCE_S
        while not lost.is_set():
            try:
                async with asyncio.timeout(QUIET_S):
                    await lost.wait()
            except TimeoutError:
                if self._state is State.STARTING and loop.time() > start_by_s:
                    return
                if self._state is State.RUNNING and self._silence_s() > HANG_PATIENCE_S:
                    return

    def _on_notice(self, notice: Notice) -> None:
        if notice is Notice.BUSY and self._state is not State.BUSY:
            self._busy_since_s = asyncio.get_running_loop().time()
        self._set_state(State.BUSY if notice is Notice.BUSY else State.RUNNING)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait for a process whose socket is closed, and kill it if it does not end by that. Survives cancellation."""
    try:
        async with asyncio.timeout(EXIT_PATIENCE_S):
            await process.wait()
    except (TimeoutError, asyncio.CancelledError) as exc:
        if process.returncode is None:
            process.kill()
        await process.wait()
        if isinstance(exc, asyncio.CancelledError):
            raise
