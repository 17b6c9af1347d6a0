"""A small router in a process of its own, so that it can be killed, frozen, slowed down and drained.

Run as a program it takes its region and its port (0 for a free one), prints where it listens, and obeys lines on its
standard input: `delay SECONDS`, `drain`, `serve`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.integration.client.fake_router import FakeRouter, start_server

from trunkline_client import RouterAddress

_ROOT = Path(__file__).parents[3]


class RouterProcess:
    """One router; `start` again after `kill` takes the same port."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.target = "127.0.0.1:0"
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> RouterAddress:
        return RouterAddress(self.region, self.target)

    async def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.integration.client.router_process",
            self.region,
            self.target.rpartition(":")[2],
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_ROOT,
        )
        assert self._process.stdout is not None
        self.target = (await asyncio.wait_for(self._process.stdout.readline(), 60)).decode().strip()

    async def kill(self) -> None:
        """Kill it (SIGKILL), frozen or not."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def pause(self) -> None:
        """Freeze it (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._signal(signal.SIGCONT)

    async def order(self, line: str) -> None:
        """Send it a command and wait until it has obeyed."""
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        await asyncio.wait_for(self._process.stdout.readline(), 30)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)


@asynccontextmanager
async def router_processes(*regions: str) -> AsyncIterator[list[RouterProcess]]:
    """Run one router for each region named, in processes; none outlives the block."""
    routers = [RouterProcess(region) for region in regions]
    try:
        await asyncio.gather(*(router.start() for router in routers))
        yield routers
    finally:
        for router in routers:
            await router.kill()


async def _obey(router: FakeRouter, reader: asyncio.StreamReader) -> None:
    while line := (await reader.readline()).decode().split():
        match line:
            case ["delay", seconds]:
                router.delay_s = float(seconds)
            case ["drain"]:
                router.drain(on=True)
            case ["serve"]:
                router.drain(on=False)
        print("done", flush=True)  # the parent waits for it


async def _serve(region: str, port: int) -> None:
    router = FakeRouter(region)
    server = await start_server(router, port)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(router.target, flush=True)  # tells the parent where to connect
    await _obey(router, reader)  # ends with the parent's end of the pipe
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
