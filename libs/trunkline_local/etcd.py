"""etcd for development and tests: one member, or three that form a real quorum on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local.binaries import find_etcd
from trunkline_local.child import Child, Command
from trunkline_local.host import ProcessHost
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import Check, http_get, wait_ready
from trunkline_local.retry import on_free_ports

READY_WITHIN_S: Final = 30.0
STOP_WITHIN_S: Final = 2.0
"""A leader whose members left before it waits 7 s for a successor; what is in its log survives a kill."""
QUOTA_BYTES: Final = 256 << 20
"""Backend quota; above it etcd refuses writes until it is compacted and defragmented."""
KEPT_REVISIONS: Final = 10_000
"""Auto-compaction keeps at least so many revisions for watchers that come back."""


@dataclass(frozen=True, slots=True)
class EtcdMember:
    """Where one member keeps its data and listens."""

    name: str
    data_folder: Path
    client_port: int
    peer_port: int

    @property
    def endpoint(self) -> str:
        """Return `host:port` for clients."""
        return f"{HOST}:{self.client_port}"

    @property
    def peer_url(self) -> str:
        """Return the address for the other members."""
        return f"http://{HOST}:{self.peer_port}"


@dataclass(frozen=True, slots=True)
class Etcd:
    """A running etcd: its members' processes, in the order of their endpoints."""

    endpoints: tuple[str, ...]
    children: tuple[Child, ...]


def etcd_command(member: EtcdMember, cluster: Sequence[EtcdMember], log_path: Path) -> Command:
    """Return what starts one member of a cluster. A single member may be started again on its data with other ports."""
    client_url = f"http://{member.endpoint}"
    options = {
        "name": member.name,
        "data-dir": str(member.data_folder),
        "listen-client-urls": client_url,
        "advertise-client-urls": client_url,
        "listen-peer-urls": member.peer_url,
        "initial-advertise-peer-urls": member.peer_url,
        "initial-cluster": ",".join(f"{each.name}={each.peer_url}" for each in cluster),
        "initial-cluster-state": "new",
        # Left alone, the quota is 2 GiB and history grows until it is hit.
        "quota-backend-bytes": str(QUOTA_BYTES),
        "auto-compaction-mode": "revision",
        "auto-compaction-retention": str(KEPT_REVISIONS),
        "logger": "zap",
        "log-level": "warn",
    }
    argv = [str(find_etcd()), *(f"--{name}={value}" for name, value in options.items())]
    return Command(member.name, argv, log_path, stop_within_s=STOP_WITHIN_S)


def etcd_ready(endpoint: str) -> Check:
    """Return a check that holds once the member has a leader and serves."""

    async def check() -> bool:
        status, body = await http_get(endpoint, "/health")
        return status == 200 and json.loads(body).get("health") == "true"

    return check


async def start_etcd(host: ProcessHost, ports: PortAllocator, folder: Path, *, members: int = 1) -> Etcd:
    """Start an empty etcd of one or three members below `folder` and wait until every member serves.

    Raises BinaryMissingError, ChildDiedError or NotReadyError.
    """
    if members not in (1, 3):
        raise ValueError("an etcd has 1 or 3 members")

    async def attempt(number: int) -> Etcd:
        cluster = [
            EtcdMember(f"etcd-{index}", folder / f"attempt-{number}" / f"etcd-{index}", ports.take(), ports.take())
            for index in range(members)
        ]
        return await start_members(host, cluster, folder)

    return await on_free_ports(host, attempt)


async def start_members(host: ProcessHost, cluster: Sequence[EtcdMember], log_folder: Path) -> Etcd:
    """Start all members of a cluster on the data that they have, or none, and wait until every member serves.

    Members that were restored from a snapshot (`etcd_restore`) start with what it held. Raises BinaryMissingError,
    ChildDiedError (PortTakenError where somebody else listens) or NotReadyError.
    """
    children = tuple(host.spawn(etcd_command(each, cluster, log_folder / f"{each.name}.log")) for each in cluster)
    for child, member in zip(children, cluster, strict=True):
        await wait_ready(child, etcd_ready(member.endpoint), within_s=READY_WITHIN_S)
    return Etcd(tuple(member.endpoint for member in cluster), children)
