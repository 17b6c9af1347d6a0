"""An etcd cluster that a drill may destroy and restore, and what an operator asks of any cluster."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from aetcd import rpc
from aetcd.rpc import rpc_pb2_grpc

from trunkline_local.child import Child
from trunkline_local.etcd import EtcdMember, start_members
from trunkline_local.etcd_restore import restore_etcd
from trunkline_local.host import ProcessHost
from trunkline_local.ports import PortAllocator

CALL_S: Final = 5.0


class EtcdCluster:
    """One or three members on ports that they keep, whatever becomes of their data."""

    def __init__(self, host: ProcessHost, ports: PortAllocator, folder: Path, *, members: int = 3) -> None:
        self._host = host
        self._folder = folder
        self.members: Final = tuple(
            EtcdMember(f"etcd-{index}", folder / "data" / f"etcd-{index}", ports.take(), ports.take())
            for index in range(members)
        )
        self._children: tuple[Child, ...] = ()

    @property
    def endpoints(self) -> tuple[str, ...]:
        """`host:port` of every member."""
        return tuple(member.endpoint for member in self.members)

    async def start(self) -> None:
        """Start all members on what data they have and wait until every one serves."""
        self._children = (await start_members(self._host, self.members, self._folder / "logs")).children

    async def destroy(self) -> None:
        """Kill every member at once and remove its data: nothing is left but a backup."""
        await self.kill()
        shutil.rmtree(self._folder / "data")

    async def kill(self) -> None:
        """Kill every member that runs."""
        for child in self._children:
            child.kill()
        for child in self._children:
            await child.wait()

    async def restore(self, snapshot: Path) -> None:
        """Make the data of a new cluster on the same ports; `start` it afterwards."""
        await restore_etcd(snapshot, self.members)


@asynccontextmanager
async def running_cluster(folder: Path, *, members: int = 3) -> AsyncIterator[EtcdCluster]:
    """Run an empty cluster of our own for the length of the context."""
    ports = PortAllocator()
    async with ProcessHost() as host:
        cluster = EtcdCluster(host, ports, folder, members=members)
        try:
            await cluster.start()
            yield cluster
        finally:
            await cluster.kill()  # an orderly stop only takes time
            ports.close()


async def leader_of(endpoints: Sequence[str]) -> int | None:
    """Return the index of the member that leads, as it says itself; None if nobody does or the leader is silent."""
    for index, endpoint in enumerate(endpoints):
        async with _channel([endpoint]) as channel:
            status = await _ask(rpc_pb2_grpc.MaintenanceStub(channel).Status(rpc.StatusRequest(), timeout=1.0))
        if status is not None and status.leader and status.leader == status.header.member_id:
            return index
    return None


async def cluster_id(endpoints: Sequence[str]) -> int:
    """Return the cluster's id, which a restore changes."""
    async with _channel(endpoints) as channel:
        return int((await rpc_pb2_grpc.KVStub(channel).Range(_FIND, timeout=CALL_S)).header.cluster_id)


async def compact(endpoints: Sequence[str]) -> int:
    """Forget all history before now, as auto-compaction does; return the revision. Raises grpc.aio.AioRpcError."""
    async with _channel(endpoints) as channel:
        kv = rpc_pb2_grpc.KVStub(channel)
        revision = int((await kv.Range(_FIND, timeout=CALL_S)).header.revision)
        await kv.Compact(rpc.CompactionRequest(revision=revision, physical=True), timeout=CALL_S)
    return revision


async def values_of(endpoints: Sequence[str], prefix: bytes) -> dict[bytes, tuple[int, bytes]]:
    """Return every key under a prefix with its `mod_revision` and value: the truth that everybody else must come to.

    A linearizable read over a channel of its own, not through the library that is under test. Raises AioRpcError.
    """
    end = prefix[:-1] + bytes([prefix[-1] + 1])
    async with _channel(endpoints) as channel:
        found = await rpc_pb2_grpc.KVStub(channel).Range(rpc.RangeRequest(key=prefix, range_end=end), timeout=CALL_S)
    return {kv.key: (kv.mod_revision, kv.value) for kv in found.kvs}


_FIND: Final = rpc.RangeRequest(key=b"/", count_only=True)
_OPTIONS: Final = (("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1))
"""A fresh connection each time: a shared one would sit out its reconnect back-off."""


def _channel(endpoints: Sequence[str]) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(f"ipv4:{','.join(endpoints)}", options=_OPTIONS)


async def _ask(call: Any) -> Any:
    try:
        return await call
    except grpc.aio.AioRpcError:
        return None
