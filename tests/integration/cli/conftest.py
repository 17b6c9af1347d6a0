"""The command beside a real control role over a real etcd."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.cli.command import Map
from tests.integration.control.conftest import Control, serving
from tests.integration.control.entries import furnish
from tests.integration.map.etcd_server import EtcdServer, running_etcd
from tests.integration.mesh.credentials import Issuer

from trunkline_routing.control.bindings import Rules
from trunkline_routing.control.policy_text import read_policy
from trunkline_routing.control.two_persons import Act, SecondPerson


@pytest.fixture(scope="session")
async def map_etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EtcdServer]:
    """An etcd of these tests' own: the control role's keys have one place."""
    async with running_etcd(tmp_path_factory.mktemp("cli-etcd")) as server:
        yield server


@pytest.fixture
async def control(map_etcd: EtcdServer, tmp_path: Path) -> AsyncIterator[Control]:
    """A control role with two regions, one space and the tenant `acme`; a new epoch needs a second person."""
    await map_etcd.clear()
    rules = Rules(second=SecondPerson([Act.RENEW_EPOCH]))
    async with serving(map_etcd, Issuer(tmp_path), tmp_path / "blobs", read_policy, rules) as opened:
        await furnish(opened.operator)
        yield opened


@pytest.fixture
def trunkline(control: Control, tmp_path: Path) -> Map:
    token = control.issuer.token(tenant=None, roles=["operator"])
    return Map(tmp_path, {"TRUNKLINE_CONTROL": control.endpoint, "TRUNKLINE_TOKEN": token})
