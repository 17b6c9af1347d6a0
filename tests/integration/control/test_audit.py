"""The audit log of a real control role: killed with `kill -9` again and again, it tells each change exactly once."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.integration.map.etcd_server import EtcdServer

from trunkline_local.child import Command
from trunkline_local.host import ProcessHost
from trunkline_map import audit
from trunkline_map.entries import RegionEntry
from trunkline_map.etcd import open_etcd
from trunkline_map.keys import CONTROL_PREFIX, MapKey, parse_history_key
from trunkline_map.testing import StaticMap, region
from trunkline_mesh.deadline import Deadline
from trunkline_routing.control.app import open_control
from trunkline_routing.control.how import How
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.regions import Regions
from trunkline_routing.control.scans import pages
from trunkline_routing.settings import RoutingSettings

WRITER = """
import asyncio, sys
from pathlib import Path
from trunkline_map.etcd import open_etcd
from trunkline_map.testing import StaticMap
from trunkline_routing.control.audit_file import AuditFile
from trunkline_routing.control.audit_writer import AuditWriter
from trunkline_routing.control.map_store import MapStore

async def main():
    async with open_etcd([sys.argv[1]]) as store:
        await AuditWriter(MapStore(store, StaticMap()), AuditFile(Path(sys.argv[2]), 4096)).run()

asyncio.run(main())
"""


def lines(directory: Path) -> list[dict[str, Any]]:
    return list(audit.read(directory)) if directory.exists() else []


async def test_a_killed_writer_loses_and_repeats_nothing(etcd: EtcdServer, tmp_path: Path) -> None:
    """While changes go on, and etcd forgets the past meanwhile."""
    rng = random.Random(7)
    directory = tmp_path / "audit"
    async with open_etcd([etcd.endpoint]) as store:
        maps = MapStore(store, StaticMap())
        regions = Regions(maps)
        async with ProcessHost() as host:
            for round_number in range(4):
                writer = host.spawn(_writer(f"writer-{round_number}", etcd, directory))
                before = len(lines(directory))
                for number in range(10):
                    name = f"r-{round_number}-{number}"
                    await regions.put(_new(name), How("olga"), Deadline.after(20))
                await _until(partial(_more_than, directory, before))
                await asyncio.sleep(rng.uniform(0, 0.02))
                writer.kill()
                await writer.wait()
                await regions.put(_new(f"r-{round_number}-unseen"), How("olga"), Deadline.after(20))
                await etcd.compact()
            host.spawn(_writer("writer-last", etcd, directory))
            await _until(partial(_more_than, directory, 43))
        happened = await _history(maps)

    assert [(line["revision"], line["entry"]) for line in lines(directory)] == happened
    report = audit.verify(directory)
    assert report.whole
    assert report.files > 1


async def test_the_control_role_writes_the_log_that_its_settings_name(etcd: EtcdServer, tmp_path: Path) -> None:
    """Of changes that any control role made; and a setting that is none stops the start."""
    settings = RoutingSettings(
        role="control", etcd_endpoints=etcd.endpoint, blob_dir=tmp_path / "blobs", audit_dir=tmp_path / "audit"
    )
    async with open_control(settings), open_etcd([etcd.endpoint]) as store:
        await Regions(MapStore(store, StaticMap())).put(_new("r"), How("olga"), Deadline.after(20))
        await _until(partial(_more_than, tmp_path / "audit", 0))
    assert audit.verify(tmp_path / "audit").whole

    with pytest.raises(ValueError, match="drain-all"):
        async with open_control(settings.model_copy(update={"two_person_acts": "drain-all"})):
            pass


def _writer(name: str, etcd: EtcdServer, directory: Path) -> Command:
    argv = (sys.executable, "-c", WRITER, etcd.endpoint, str(directory))
    return Command(name, argv, directory.parent / f"{name}.log")


def _new(name: str) -> RegionEntry:
    return replace(region(name, "eu"), revision=0)


async def _history(maps: MapStore) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    async for page in pages(maps.kv, CONTROL_PREFIX, Deadline.after(20), keys_only=True):
        parsed: list[tuple[int, tuple[MapKey, int] | None]] = [
            (item.mod_revision, parse_history_key(item.key)) for item in page.items
        ]
        found += [(revision, key[0].path) for revision, key in parsed if key is not None]
    return sorted(found)


def _more_than(directory: Path, count: int) -> bool:
    return len(lines(directory)) > count


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - a file gives no event
            await asyncio.sleep(0.01)
