"""Three real members of etcd, each of which a test may kill, freeze and bring back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from trunkline_local.child import Child
from trunkline_local.etcd import EtcdMember, etcd_command, etcd_ready
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import wait_ready
from trunkline_map.etcd import open_etcd

MEMBERS = 3


class EtcdCluster:
    """The members by index, on ports that they keep over restarts."""

    def __init__(self, host: ProcessHost, ports: PortAllocator, folder: Path) -> None:
        self._host = host
        self._folder = folder
        self._members = [
            EtcdMember(f"etcd-{index}", folder / f"etcd-{index}", ports.take(), ports.take())
            for index in range(MEMBERS)
        ]
        self._children: dict[int, Child] = {}

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self._members)

    async def start(self, indices: Iterable[int] = range(MEMBERS)) -> None:
        """Start members and wait until each has a leader."""
        indices = list(indices)
        for index in indices:
            member = self._members[index]
            command = etcd_command(member, self._members, self._folder / f"{member.name}.log")
            self._children[index] = self._host.spawn(command)
        for index in indices:
            await wait_ready(self._children[index], etcd_ready(self.endpoints[index]), within_s=30)

    async def kill(self, *indices: int) -> None:
        """End members as `kill -9` would."""
        for index in indices:
            self._children[index].kill()
            await self._children[index].wait()

    def pause(self, index: int) -> None:
        """Freeze a member: its connections stay open."""
        self._children[index].pause()

    def resume(self, index: int) -> None:
        """Let it go on."""
        self._children[index].resume()

    async def heal(self) -> None:
        """Bring back whoever is away and wait until all have a leader."""
        for child in self._children.values():
            if child.paused:
                child.resume()
        await self.start([index for index, child in self._children.items() if child.poll() is not None])
        for index, child in self._children.items():
            await wait_ready(child, etcd_ready(self.endpoints[index]), within_s=30)

    async def leader(self) -> int:
        """Return the index of the member that leads."""
        async with asyncio.timeout(20), open_etcd(self.endpoints) as store:
            while True:
                for index, status in enumerate(await store.member_statuses(timeout_s=1)):
                    if status.leader:
                        return index

    async def close(self) -> None:
        """End all: nothing of them is needed, and an orderly stop only takes time."""
        await self.kill(*(index for index, child in self._children.items() if child.poll() is None))


@asynccontextmanager
async def running_cluster(folder: Path) -> AsyncIterator[EtcdCluster]:
    """Start three members; they end with the context, and with this process whatever happens."""
    ports = PortAllocator()
    async with ProcessHost() as host:
        cluster = EtcdCluster(host, ports, folder)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.close()
            ports.close()
