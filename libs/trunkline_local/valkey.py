"""Valkey (Redis protocol) for development and tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local.binaries import find_valkey
from trunkline_local.child import Child, Command
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import redis_ping, wait_ready
from trunkline_local.retry import on_free_ports

READY_WITHIN_S: Final = 15.0
MAX_MEMORY_BYTES: Final = 128 << 20


@dataclass(frozen=True, slots=True)
class Valkey:
    """A running Valkey."""

    url: str
    """For example `redis://127.0.0.1:20001/0`."""
    child: Child


def valkey_url(port: int) -> str:
    """Return the address for clients."""
    return f"redis://{HOST}:{port}/0"


def valkey_command(
    name: str,
    port: int,
    folder: Path,
    log_path: Path,
    *,
    appendonly: bool = False,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> Command:
    """Make `folder` for the data and return what starts a server on loopback.

    Without `appendonly` nothing is kept over a restart: quotas start full and caches empty. When memory is used up,
    keys with an expiry go first, the least recently used ones; what has none stays and further writes are refused.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "appendonly": "yes" if appendonly else "no",
        "maxmemory": str(max_memory_bytes),
        "maxmemory-policy": "volatile-lru",
        "daemonize": "no",
        "logfile": "",
        # A process title would be written over the environment and with it over the run's mark (see `_guardian`).
        "set-proc-title": "no",
    }
    argv = [str(find_valkey())]
    for option, value in options.items():
        argv += [f"--{option}", value]
    return Command(name, argv, log_path, cwd=folder)


async def start_valkey(
    host: ProcessHost,
    ports: PortAllocator,
    folder: Path,
    *,
    name: str = "valkey",
    appendonly: bool = False,
    max_memory_bytes: int = MAX_MEMORY_BYTES,
) -> Valkey:
    """Start a Valkey with its data and log in `folder` and wait until it answers.

    Raises BinaryMissingError, ChildDiedError or NotReadyError.
    """

    async def attempt(_: int) -> Valkey:
        port = ports.take()
        command = valkey_command(
            name, port, folder, folder / f"{name}.log", appendonly=appendonly, max_memory_bytes=max_memory_bytes
        )
        child = host.spawn(command)
        await wait_ready(child, lambda: redis_ping(f"{HOST}:{port}"), within_s=READY_WITHIN_S)
        return Valkey(valkey_url(port), child)

    return await on_free_ports(host, attempt)
