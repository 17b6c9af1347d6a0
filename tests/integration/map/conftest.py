"""etcd for the map's tests. They use the map's own keys, so the shared one of other tests will not do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.map.etcd_server import EtcdServer, running_etcd

from trunkline_map.etcd import EtcdStore, open_etcd


@pytest.fixture(scope="session")
async def session_etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EtcdServer]:
    async with running_etcd(tmp_path_factory.mktemp("map-etcd")) as server:
        yield server


@pytest.fixture
async def etcd(session_etcd: EtcdServer) -> EtcdServer:
    """An etcd without keys. A test that breaks it takes `fragile_etcd`."""
    await session_etcd.clear()
    return session_etcd


@pytest.fixture
async def fragile_etcd(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    """An etcd that this test alone uses, and may break."""
    async with running_etcd(tmp_path) as server:
        yield server


@pytest.fixture
async def store(etcd: EtcdServer) -> AsyncIterator[EtcdStore]:
    async with open_etcd([etcd.endpoint]) as opened:
        yield opened
