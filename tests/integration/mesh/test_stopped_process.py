"""A process that is stopped and goes on blames nobody for the time that it slept."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
STOPPED_S = 1.5
"""More than a stall needs; a stopped process cannot be asked, so this is waited for."""


@pytest.mark.parametrize(("stopped", "expected"), [(True, b"closed True\n"), (False, b"open False\n")])
async def test_a_stopped_process_opens_no_breaker(*, stopped: bool, expected: bytes) -> None:
    """The same timeouts open it in a process that was never stopped."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.mesh.sleeper",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=REPOSITORY,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            assert await process.stdout.readline() == b"ready\n"
            if stopped:
                process.send_signal(signal.SIGSTOP)
                await asyncio.sleep(STOPPED_S)
                process.stdin.write(b"go on\n")
                process.send_signal(signal.SIGCONT)
            else:
                process.stdin.write(b"go on\n")
            assert await process.stdout.readline() == expected
            process.stdin.close()
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
