"""The front door: an Envoy before the routers of all regions, for callers without `trunkline_client`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local.binaries import find_envoy
from trunkline_local.child import Child, Command
from trunkline_local.files import write_private
from trunkline_local.front_cluster import FrontRegion, FrontTimes
from trunkline_local.front_config import front_config, to_yaml
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import Check, tcp_open, wait_ready
from trunkline_local.retry import on_free_ports

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 2.0
CONFIG_FILE: Final = "front.yaml"
_WORKERS: Final = 2


@dataclass(frozen=True, slots=True)
class Front:
    """A running front door."""

    endpoint: str
    """`host:port` for callers."""
    admin: str
    """`host:port` of Envoy's own pages, on loopback."""
    child: Child


@dataclass(frozen=True, slots=True)
class FrontPorts:
    """The two ports of a front door on loopback."""

    grpc: int
    admin: int

    @classmethod
    def take(cls, ports: PortAllocator) -> FrontPorts:
        """Take two free ports."""
        return cls(ports.take(), ports.take())

    @property
    def endpoint(self) -> str:
        """Return `host:port` for callers."""
        return f"{HOST}:{self.grpc}"

    @property
    def admin_endpoint(self) -> str:
        """Return `host:port` of Envoy's own pages."""
        return f"{HOST}:{self.admin}"


def front_command(
    name: str,
    ports: FrontPorts,
    folder: Path,
    log_path: Path,
    regions: Sequence[FrontRegion],
    times: FrontTimes | None = None,
) -> Command:
    """Write the configuration into `folder` and return what starts Envoy on it.

    Raises BinaryMissingError, and ValueError for regions that `front_config` does not take.
    """
    config = front_config(regions, listen=ports.endpoint, admin=ports.admin_endpoint, times=times)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / CONFIG_FILE
    write_private(path, to_yaml(config).encode())
    # Without hot restart several may run on one machine.
    options = ("-c", str(path), "--disable-hot-restart", "--concurrency", str(_WORKERS), "--log-level", "warning")
    return Command(name, (str(find_envoy()), *options), log_path, cwd=folder, stop_within_s=STOP_WITHIN_S)


def front_ready(ports: FrontPorts) -> Check:
    """Return a check that holds once Envoy listens: it does when it has asked every router for its health."""
    return lambda: tcp_open(ports.endpoint)


async def start_front(
    host: ProcessHost,
    ports: PortAllocator,
    folder: Path,
    regions: Sequence[FrontRegion],
    *,
    name: str = "front",
    times: FrontTimes | None = None,
) -> Front:
    """Start a front door before the routers of `regions`, nearest first, and wait until it listens.

    Raises BinaryMissingError, ChildDiedError, NotReadyError or ValueError.
    """

    async def attempt(_: int) -> Front:
        taken = FrontPorts.take(ports)
        child = host.spawn(front_command(name, taken, folder, folder / f"{name}.log", regions, times))
        await wait_ready(child, front_ready(taken), within_s=READY_WITHIN_S)
        return Front(taken.endpoint, taken.admin_endpoint, child)

    return await on_free_ports(host, attempt)
