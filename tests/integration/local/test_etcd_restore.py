"""Restoring etcd from a snapshot with the real `etcdutl`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc.aio
import pytest
from aetcd.rpc import rpc_pb2, rpc_pb2_grpc
from tests.chaos.etcd_cluster import cluster_id, leader_of, running_cluster

from trunkline_local.etcd import EtcdMember
from trunkline_local.etcd_restore import RestoreError, restore_etcd
from trunkline_local.readiness import eventually
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.store import Transaction

KEY = b"/trunkline/v1/test"


async def _put(store: EtcdStore, value: bytes) -> int:
    return (await store.commit(Transaction(puts={KEY: value}), timeout_s=20)).revision


async def _snapshot(endpoint: str, path: Path) -> None:
    async with grpc.aio.insecure_channel(endpoint) as channel:
        parts = rpc_pb2_grpc.MaintenanceStub(channel).Snapshot(rpc_pb2.SnapshotRequest(), timeout=20)
        blobs = [part.blob async for part in parts]
    await asyncio.to_thread(path.write_bytes, b"".join(blobs))


@pytest.mark.parametrize("members", [1, 3])
async def test_a_restored_cluster_holds_what_the_snapshot_held(tmp_path: Path, members: int) -> None:
    """Values and revision are the snapshot's, later changes are gone, and it is another cluster than before."""
    snapshot = tmp_path / "snapshot.db"
    async with running_cluster(tmp_path, members=members) as cluster, open_etcd(cluster.endpoints) as store:
        before = await cluster_id(cluster.endpoints)
        kept = await _put(store, b"kept")
        await _snapshot(cluster.endpoints[0], snapshot)
        assert await _put(store, b"lost") > kept

        await cluster.destroy()
        await cluster.restore(snapshot)
        await cluster.start()

        async with open_etcd(cluster.endpoints) as fresh:
            found = await fresh.read([KEY], timeout_s=20)
            assert (found.items[KEY].value, found.items[KEY].mod_revision, found.revision) == (b"kept", kept, kept)
            assert await _put(fresh, b"new") == kept + 1
        assert await cluster_id(cluster.endpoints) != before

        async def led() -> bool:  # on a busy machine they may be electing just now
            return await leader_of(cluster.endpoints) is not None

        assert await eventually(led, within_s=20)


async def test_a_damaged_snapshot_leaves_nothing_behind(tmp_path: Path) -> None:
    """A snapshot whose hash does not fit is refused, and no member has a data folder then."""
    snapshot = tmp_path / "snapshot.db"
    async with running_cluster(tmp_path / "one", members=1) as cluster:
        await _snapshot(cluster.endpoints[0], snapshot)
    damaged = bytearray(snapshot.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    snapshot.write_bytes(damaged)
    members = [EtcdMember(f"etcd-{index}", tmp_path / f"data-{index}", 1 + index, 11 + index) for index in range(3)]

    with pytest.raises(RestoreError, match="sha256"):
        await restore_etcd(snapshot, members)
    assert not any(member.data_folder.exists() for member in members)


async def test_old_data_is_never_mixed_with_restored_data(tmp_path: Path) -> None:
    """A data folder that exists stops the restore before anything is written, and keeps what it has."""
    member = EtcdMember("etcd-0", tmp_path / "data", 1, 2)
    member.data_folder.mkdir()
    (member.data_folder / "kept").touch()

    with pytest.raises(RestoreError, match="move the old data away"):
        await restore_etcd(tmp_path / "none.db", [member])
    assert (member.data_folder / "kept").exists()


async def test_only_clusters_that_can_form_a_quorum_are_restored(tmp_path: Path) -> None:
    """Two members are refused: the loss of either would end them."""
    members = [EtcdMember(f"etcd-{index}", tmp_path / f"data-{index}", 1 + index, 11 + index) for index in range(2)]
    with pytest.raises(ValueError, match="1 or 3"):
        await restore_etcd(tmp_path / "none.db", members)
