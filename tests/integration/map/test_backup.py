"""A snapshot is whole, checked and restorable, or it is not there."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.fixtures.proxy import TcpProxy
from tests.integration.map.etcd_server import EtcdServer
from tests.integration.map.writing import EPOCH, put

from trunkline_local.etcd import EtcdMember
from trunkline_local.etcd_restore import restore_etcd
from trunkline_map.backup import BackupError, save_snapshot
from trunkline_map.etcd import EtcdStore
from trunkline_map.testing import tenant


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_snapshot_is_saved_and_checked(etcd: EtcdServer, store: EtcdStore, tmp_path: Path) -> None:
    """Its last bytes are the checksum of the others; it says what it holds, and tells of its progress."""
    await put(store, EPOCH, tenant("acme", "eu"))
    revision = (await store.read([EPOCH.key.encode()], timeout_s=5)).revision
    told: list[tuple[int, int]] = []

    saved = await save_snapshot([etcd.endpoint], tmp_path / "map.db", progress=lambda *step: told.append(step))

    content = saved.path.read_bytes()
    assert len(content) == saved.size_bytes == told[-1][0]
    assert hashlib.sha256(content[:-32]).digest() == content[-32:]
    assert saved.digest == content[-32:].hex()
    assert saved.revision >= revision
    assert saved.endpoint == etcd.endpoint
    assert saved.path.stat().st_mode & 0o077 == 0
    assert names_in(tmp_path) == ["map.db"]


async def test_a_snapshot_can_be_restored(etcd: EtcdServer, tmp_path: Path) -> None:
    """etcd's own tool takes it, its checksum included."""
    member = EtcdMember("restored", tmp_path / "restored", 1, 2)  # not started: its ports do not matter

    saved = await save_snapshot([etcd.endpoint], tmp_path / "map.db")

    await restore_etcd(saved.path, [member])

    assert names_in(tmp_path / "restored") == ["member"]


async def test_a_cut_snapshot_leaves_nothing(etcd: EtcdServer, tmp_path: Path) -> None:
    """Neither a part nor a temporary file; the backup of before stays."""
    target = tmp_path / "map.db"
    target.write_bytes(b"before")
    async with TcpProxy(etcd.endpoint) as proxy:
        proxy.faults.limit_bytes = 6000

        with pytest.raises(BackupError):
            await save_snapshot([proxy.address], target)

    assert target.read_bytes() == b"before"
    assert names_in(tmp_path) == ["map.db"]


async def test_bounds_hold(etcd: EtcdServer, tmp_path: Path) -> None:
    """Size and time end a backup, and a folder that is not there prevents it."""
    with pytest.raises(BackupError, match="larger"):
        await save_snapshot([etcd.endpoint], tmp_path / "map.db", max_size_bytes=100)
    async with TcpProxy(etcd.endpoint) as proxy:
        proxy.faults.delay_s = 0.1
        with pytest.raises(BackupError, match=r"too long|no member"):
            await save_snapshot([proxy.address], tmp_path / "map.db", timeout_s=0.01)
    with pytest.raises(BackupError, match="written"):
        await save_snapshot([etcd.endpoint], tmp_path / "none" / "map.db")
    with pytest.raises(BackupError, match="no member"):
        await save_snapshot(["127.0.0.1:1"], tmp_path / "map.db")

    assert names_in(tmp_path) == []
