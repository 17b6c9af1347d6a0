"""`stack.json`: what runs where, for programs and people. Written by the stack's owner, mode 0600, in one step."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from trunkline_local.errors import LocalError
from trunkline_local.files import write_private
from trunkline_local.proc import ProcessMark
from trunkline_local.spec import Layout, Service

STATE_FILE: Final = "stack.json"
FORMAT: Final = 1


class Phase(StrEnum):
    """What the stack as a whole does."""

    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"


class ProcessState(StrEnum):
    """What one process does. `DEAD` is an end that nobody asked for; nothing is restarted by itself."""

    PLANNED = "planned"
    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    KILLED = "killed"
    DEAD = "dead"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProcessRecord(_Record):
    """One process."""

    name: str
    region_id: str | None
    state: ProcessState
    pid: int | None
    exit_code: int | None
    """Negative: the signal that ended it. Set when it has ended."""
    log_path: Path


class RegionRecord(_Record):
    """Where a region's parts listen; endpoints are `host:port`, metrics are addresses of Prometheus pages."""

    region_id: str
    jurisdiction: str
    valkey_url: str
    endpoints: Mapping[Service, str]
    metrics: Mapping[Service, str]
    learning_endpoint: str | None = None
    """Where its learner listens, if it has one."""
    learning_metrics: str | None = None


class StackState(_Record):
    """A whole stack."""

    format: int
    run_id: str
    owner: ProcessMark
    """The process that owns all others: the supervisor, or whoever runs `LocalStack`."""
    phase: Phase
    layout: Layout
    started_at_s: float
    """Unix time."""
    run_dir: Path
    etcd_endpoints: tuple[str, ...]
    triton_endpoint: str
    triton_http_endpoint: str
    control_endpoint: str
    control_metrics: str
    front_endpoint: str | None = None
    """`host:port` of the front door, if the stack has one."""
    front_admin_endpoint: str | None = None
    """`host:port` of its Envoy's own pages."""
    regions: tuple[RegionRecord, ...]
    processes: tuple[ProcessRecord, ...]
    identity_dir: Path
    """With the signing key, `jwks.json` and `tokens/`; see `DevIdentity.load`."""
    issuer: str
    tokens: Mapping[str, Path]
    """Files with tokens for people, by name; `operator` is always there."""

    def region(self, region_id: str) -> RegionRecord | None:
        """Return one region's record."""
        return next((region for region in self.regions if region.region_id == region_id), None)

    def write(self) -> None:
        """Write it to the run directory."""
        write_private(self.run_dir / STATE_FILE, self.model_dump_json(indent=2).encode())


def read_state(run_dir: Path) -> StackState | None:
    """Return what the last owner wrote; None if there is nothing. Raises LocalError if it cannot be understood."""
    path = run_dir / STATE_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return StackState.model_validate_json(text)
    except ValidationError as exc:
        raise LocalError(f"{path} was written by another version; stop that stack with it, or delete the file") from exc
