"""Triton Inference Server for development and tests, from the wheel `nvidia-pytriton`, on the CPU or a GPU."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local._guardian import shm_prefix
from trunkline_local.binaries import TritonFiles, find_model_repository, find_triton
from trunkline_local.child import Child, Command
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import Check, http_get, wait_ready
from trunkline_local.retry import on_free_ports

READY_WITHIN_S: Final = 120.0
EXIT_TIMEOUT_S: Final = 3
"""How long Triton waits for running requests and its models' end when it is stopped; a second is too short for it."""
STOP_WITHIN_S: Final = 6.0


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """The three ports of a Triton."""

    grpc: int
    http: int
    metrics: int

    @classmethod
    def take(cls, ports: PortAllocator) -> TritonPorts:
        """Take three free ones."""
        return cls(ports.take(), ports.take(), ports.take())


@dataclass(frozen=True, slots=True)
class Triton:
    """A running Triton; endpoints are `host:port`."""

    grpc_endpoint: str
    http_endpoint: str
    metrics_endpoint: str
    child: Child


def triton_command(
    run_id: str,
    ports: TritonPorts,
    folder: Path,
    log_path: Path,
    model_repository: Path,
    *,
    name: str = "triton",
    env: Mapping[str, str] | None = None,
) -> Command:
    """Prepare a run directory in `folder` and return what starts Triton on loopback with a model repository.

    Triton's stub runs an interpreter that leaves PYTHONPATH out, so a model puts that on `sys.path` itself, before it
    imports NumPy: another NumPy than the environment's may lie beside the bare interpreter, and answers come out empty.

    Shared-memory regions carry `run_id` in their names, so that a killed run's can be removed. `env` is added to what
    models see. Raises BinaryMissingError or ModelRepositoryMissingError.
    """
    files = find_triton()
    backends = _prepare_backends(files, folder)
    options = {
        "model-repository": str(find_model_repository(model_repository)),
        "model-control-mode": "none",
        "backend-directory": str(backends),
        "backend-config": f"python,shm-region-prefix-name={shm_prefix(run_id)}",
        "grpc-address": HOST,
        "grpc-port": str(ports.grpc),
        "http-address": HOST,
        "http-port": str(ports.http),
        "metrics-address": HOST,
        "metrics-port": str(ports.metrics),
        "exit-timeout-secs": str(EXIT_TIMEOUT_S),
        "log-format": "ISO8601",
        # Tables of settings, which would push the reason of a failed start out of the end of the log.
        "log-info": "false",
    }
    argv = [str(files.server), *(f"--{option}={value}" for option, value in options.items())]
    environment = _environment(files) | dict(env or {})
    return Command(name, argv, log_path, env=environment, cwd=folder, stop_within_s=STOP_WITHIN_S)


def triton_ready(http_endpoint: str) -> Check:
    """Return a check that holds once the server and every model of its repository are ready."""

    async def check() -> bool:
        status, _ = await http_get(http_endpoint, "/v2/health/ready")
        if status != 200:
            return False
        status, body = await http_get(http_endpoint, "/v2/repository/index", method="POST")
        return status == 200 and all(model.get("state") == "READY" for model in json.loads(body))

    return check


async def start_triton(
    host: ProcessHost,
    ports: PortAllocator,
    folder: Path,
    *,
    model_repository: Path | None = None,
    ready_within_s: float = READY_WITHIN_S,
    env: Mapping[str, str] | None = None,
) -> Triton:
    """Start a Triton with its run directory and log in `folder` and wait until all its models are ready.

    Without `model_repository` the project's own is served. A model that cannot be loaded ends the server, so that the
    error carries its reason. Raises BinaryMissingError, ModelRepositoryMissingError, ChildDiedError or NotReadyError.
    """
    repository = find_model_repository(model_repository)

    async def attempt(_: int) -> Triton:
        chosen = TritonPorts.take(ports)
        child = host.spawn(triton_command(host.run_id, chosen, folder, folder / "triton.log", repository, env=env))
        http_endpoint = f"{HOST}:{chosen.http}"
        await wait_ready(child, triton_ready(http_endpoint), within_s=ready_within_s)
        return Triton(f"{HOST}:{chosen.grpc}", http_endpoint, f"{HOST}:{chosen.metrics}", child)

    return await on_free_ports(host, attempt)


def _prepare_backends(files: TritonFiles, folder: Path) -> Path:
    """Lay out a backend directory: the backend looks for its stub beside itself, the wheel keeps the two apart."""
    python = folder / "backends" / "python"
    shutil.rmtree(python, ignore_errors=True)
    python.mkdir(mode=0o700, parents=True)
    for source in (*files.backend.iterdir(), files.stub):
        (python / source.name).symlink_to(source)
    return python.parent


def _environment(files: TritonFiles) -> dict[str, str]:
    inherited = [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if path]
    return {
        "LD_LIBRARY_PATH": os.pathsep.join([*map(str, files.library_folders), *inherited]),
        "PYTHONPATH": str(files.site_packages),
        "PYTHONNOUSERSITE": "1",
    }
