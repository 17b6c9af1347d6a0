"""A real etcd of one member that a test may kill, freeze, restart and empty."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aetcd import rpc
from aetcd.rpc import rpc_pb2_grpc
from tests.integration.map.writing import compact

from trunkline_local.child import Child
from trunkline_local.etcd import EtcdMember, etcd_command, etcd_ready
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator
from trunkline_local.readiness import wait_ready
from trunkline_map.etcd_channel import open_channel
from trunkline_map.keys import prefix_end


class EtcdServer:
    """One member on ports that it keeps over restarts."""

    def __init__(self, host: ProcessHost, ports: PortAllocator, folder: Path) -> None:
        self._host = host
        self._member = EtcdMember("etcd", folder / "data", ports.take(), ports.take())
        self._log_path = folder / "etcd.log"
        self._child: Child | None = None

    @property
    def endpoint(self) -> str:
        return self._member.endpoint

    @property
    def child(self) -> Child:
        assert self._child is not None
        return self._child

    async def start(self) -> None:
        """Start and wait until it has a leader: it listens before it can answer."""
        self._child = self._host.spawn(etcd_command(self._member, [self._member], self._log_path))
        await wait_ready(self._child, etcd_ready(self.endpoint), within_s=30)

    async def kill(self) -> None:
        """End it as `kill -9` would."""
        self.child.kill()
        await self.child.wait()

    def lose_data(self) -> None:
        """Remove what it stored, while it is down: a restore from the emptiest of backups."""
        shutil.rmtree(self._member.data_folder)

    async def clear(self) -> None:
        """Remove every key."""
        async with open_channel(self.endpoint) as channel:
            kv = rpc_pb2_grpc.KVStub(channel)
            await kv.DeleteRange(rpc.DeleteRangeRequest(key=b"/", range_end=prefix_end(b"/")), timeout=5)

    async def compact(self) -> None:
        """Forget all history before now."""
        await compact(self.endpoint)


@asynccontextmanager
async def running_etcd(folder: Path) -> AsyncIterator[EtcdServer]:
    """Start an etcd of our own; it ends with the context, and with this process whatever happens."""
    ports = PortAllocator()
    async with ProcessHost() as host:
        server = EtcdServer(host, ports, folder)
        try:
            await server.start()
            yield server
        finally:
            if server.child.poll() is None:
                await server.kill()  # nothing of it is needed: an orderly stop only takes time
            ports.close()
