"""Free ports for many servers at once, without two of our runs choosing the same one.

Ports come from a range below the one from which the kernel takes the ports of outgoing connections (32768 and up by
default), in blocks; a run locks a block by a file lock that the kernel drops when the process ends. So two runs of ours
(workers of a parallel test run, two stacks) never share a block, and outgoing connections take none of these ports. A
port is given once by an allocator and tried by a bind. What is left is a foreign program that takes the port between
that bind and the server's own: the server then ends at once, which `wait_ready` reports as PortTakenError, and whoever
chose the port starts again with another one.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from trunkline_local.errors import PortsExhaustedError

FIRST_PORT: Final = 20_000
LAST_PORT: Final = 31_999
BLOCK_SIZE: Final = 48
"""A three-region stack with a process for each service takes about 40 ports."""
BLOCKS: Final = (LAST_PORT + 1 - FIRST_PORT) // BLOCK_SIZE
HOST: Final = "127.0.0.1"


class PortAllocator:
    """Hands out distinct free ports on loopback until it is closed; locks blocks of ports as needed."""

    def __init__(self, lock_folder: Path | None = None) -> None:
        default = Path(tempfile.gettempdir()) / f"trunkline-ports-{os.getuid()}"
        self._folder = lock_folder or default
        self._locks: list[int] = []
        self._ports: Iterator[int] = iter(())

    def take(self) -> int:
        """Return a free port that this allocator never gave before.

        Raises PortsExhaustedError when every block is locked or used.
        """
        while True:
            for port in self._ports:
                if is_free(port):
                    return port
            self._ports = iter(self._lock_block())

    def close(self) -> None:
        """Let other runs have the blocks."""
        self._ports = iter(())
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _lock_block(self) -> range:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        start = random.randrange(BLOCKS)  # noqa: S311 - spreads runs over the range, no secret
        for offset in range(BLOCKS):
            block = (start + offset) % BLOCKS
            lock = os.open(self._folder / f"{block}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with suppress(BlockingIOError):
                # Locks belong to the open file, so another allocator in this process is kept out too.
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._locks.append(lock)
                first = FIRST_PORT + block * BLOCK_SIZE
                return range(first, first + BLOCK_SIZE)
            os.close(lock)
        raise PortsExhaustedError(f"no free block of ports in {FIRST_PORT}-{LAST_PORT}; stop other stacks first")


def is_free(port: int, host: str = HOST) -> bool:
    """Tell whether a listener could have this port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
