"""The control role behind a real server, over an etcd of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest
from tests.integration.control.caller import Caller
from tests.integration.map.etcd_server import EtcdServer, running_etcd
from tests.integration.mesh.credentials import AUDIENCE, ISSUER, Issuer

from trunkline_map.blob import FileBlobStore
from trunkline_map.etcd import EtcdStore, open_etcd
from trunkline_map.settings import WatchSettings
from trunkline_map.watcher import MapWatcher, watching
from trunkline_mesh.app import MeshApp
from trunkline_mesh.errors import CollectionUnknown, invalid_field
from trunkline_mesh.serving import start
from trunkline_mesh.settings import ServiceSettings
from trunkline_routing.control.bindings import Rules, control_bindings
from trunkline_routing.control.map_store import MapStore
from trunkline_routing.control.policy_texts import PolicyReader
from trunkline_routing.control.refusals import Note

QUICK = WatchSettings(catch_up_every_s=0.02, backoff_max_s=0.2)


def read_words(text: str, collections: AbstractSet[str]) -> bytes:
    """A policy of these tests: names of collections; `#` with or without more stands for none, `!` for no policy."""
    for word in text.split():
        if word == "!":
            raise invalid_field("policy.yaml", "must be a policy")
        if not word.startswith("#") and word not in collections:
            raise CollectionUnknown(metadata={"collection": word})
    return f"form of {text}".encode()


@dataclass(frozen=True)
class Control:
    """A control role that serves."""

    endpoint: str
    issuer: Issuer
    store: EtcdStore
    watcher: MapWatcher
    blob_dir: Path
    caller: Callable[..., Caller]

    @property
    def operator(self) -> Caller:
        """A caller of the role `operator`, without a tenant."""
        return self.caller(tenant=None, roles=["operator"])

    def admin(self, tenant_id: str) -> Caller:
        """A caller of the role `admin` of a tenant."""
        return self.caller(tenant=tenant_id, roles=["admin"])

    def learner(self, tenant_id: str) -> Caller:
        """A caller of the role `service` that acts for a tenant."""
        return self.caller(sub="learner", tenant=None, act_tenant=tenant_id, roles=["service"])

    def member(self, tenant_id: str) -> Caller:
        """A caller of a tenant without a role."""
        return self.caller(tenant=tenant_id, roles=[])


@asynccontextmanager
async def serving(
    etcd: EtcdServer,
    issuer: Issuer,
    blob_dir: Path,
    read: PolicyReader = read_words,
    rules: Rules | None = None,
    note: Note | None = None,
) -> AsyncIterator[Control]:
    """Serve the control role with every stage of the mesh."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(open_etcd([etcd.endpoint]))
        watcher = await stack.enter_async_context(watching(store, QUICK))
        maps = MapStore(store, watcher, whole=lambda: not watcher.feed.malformed)
        bindings = control_bindings(maps, FileBlobStore(blob_dir), read, rules, note)
        settings = ServiceSettings(
            jwks=str(issuer.jwks_path), issuer=ISSUER, audience=AUDIENCE, drain_settle_s=0.0, drain_grace_s=1.0
        )
        running = await start(MeshApp("routing-control", bindings), settings, stack)
        endpoint = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(endpoint))
        anonymous = Caller(channel, None)

        def caller(**claims: object) -> Caller:
            return Caller(channel, issuer.token(**claims)) if claims else anonymous

        yield Control(endpoint, issuer, store, watcher, blob_dir, caller)


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("control-issuer"))


@pytest.fixture(scope="session")
async def session_etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EtcdServer]:
    async with running_etcd(tmp_path_factory.mktemp("control-etcd")) as server:
        yield server


@pytest.fixture
async def etcd(session_etcd: EtcdServer) -> EtcdServer:
    """An etcd without keys."""
    await session_etcd.clear()
    return session_etcd


@pytest.fixture
async def control(etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Control]:
    """A control role over an empty etcd."""
    async with serving(etcd, issuer, tmp_path / "blobs") as opened:
        yield opened


@pytest.fixture
async def fragile_etcd(tmp_path: Path) -> AsyncIterator[EtcdServer]:
    """An etcd that this test alone uses, and may break."""
    async with running_etcd(tmp_path) as server:
        yield server


@pytest.fixture
async def fragile_control(fragile_etcd: EtcdServer, issuer: Issuer, tmp_path: Path) -> AsyncIterator[Control]:
    """A control role over an etcd that this test may break."""
    async with serving(fragile_etcd, issuer, tmp_path / "blobs") as opened:
        yield opened
