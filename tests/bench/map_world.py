"""An etcd, the control role and three routers, each a process, and a delay between one router and etcd."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tests.bench.map_seed import REGIONS, tenant_id
from tests.fixtures.proxy import TcpProxy
from trunkline_local.addresses import Listener
from trunkline_local.child import Command
from trunkline_local.etcd import start_etcd
from trunkline_local.host import ProcessHost
from trunkline_local.identity import ISSUER, DevIdentity
from trunkline_local.plan import SIGNING_KEY_FILE
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import grpc_answers, grpc_serving, wait_ready
from trunkline_local.service_command import services_argv
from trunkline_local.service_env import Seat, Surroundings, service_env
from trunkline_local.spec import CONTROL, Service

READY_WITHIN_S: Final = 180.0
PROBED: Final = 64
"""Tenants whose map is changed and read."""


@dataclass(frozen=True)
class Targets:
    """What the traffic's process needs to know."""

    control: str
    routers: tuple[str, ...]
    """The last one's watch is the one that is delayed."""
    operator: str
    """An operator's credential."""
    tenants: dict[str, str]
    """Tenants, all of the largest tier, with a credential of each."""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


class World:
    """Everything that runs. `etcd` is there from the start, the services after `start_services`."""

    def __init__(self, host: ProcessHost, ports: PortAllocator, folder: Path, etcd: Sequence[str], proxy: TcpProxy):
        """Use what `open_world` started."""
        self._host = host
        self._ports = ports
        self._folder = folder
        self._identity = DevIdentity.create(folder / "identity")
        self.etcd = tuple(etcd)
        self.late = proxy
        """Between the last router and etcd."""

    async def start_services(self) -> Targets:
        """Start the control role and a router in each region, one after the other, and wait until they have the map."""
        control = await self._start(CONTROL, self.etcd)
        routers = [await self._start(region, self.etcd) for region in REGIONS[:-1]]
        routers.append(await self._start(REGIONS[-1], [self.late.address]))
        probed = [tenant_id(3 * number + 2) for number in range(PROBED)]
        return Targets(
            control,
            tuple(routers),
            self._identity.mint("operator", roles=("operator", "admin")),
            {name: self._identity.mint("prober", tenant=name) for name in probed},
        )

    async def _start(self, name: str, etcd: Sequence[str]) -> str:
        listener = Listener.take(self._ports)
        around = Surroundings(
            issuer=ISSUER,
            jwks_path=self._identity.jwks_path,
            etcd_endpoints=tuple(etcd),
            triton_endpoint="",
            blob_dir=self._folder / "blobs",
            feedback_dir=self._folder / "feedback",
            control_endpoint=f"{HOST}:1",  # for learners, of which there are none
            signing_key_path=self._identity.folder / SIGNING_KEY_FILE,
            signing_key_id=self._identity.key_id,
            log_hash_key=secrets.token_hex(16),
            reflection=False,
        )
        credential = self._identity.mint(f"trunkline-routing@{name}", roles=("service",))
        seat = Seat(
            service=Service.ROUTING,
            region_id=name,
            listener=listener,
            token_path=self._identity.write_token(name, credential),
            data_dir=self._folder / name,
            admission_endpoint=f"{HOST}:1",  # nobody: explaining a decision costs nothing, so nobody is asked
            control=name == CONTROL,
        )
        log_path = self._folder / f"{name}.log"
        command = Command(name, services_argv([Service.ROUTING]), log_path, env=service_env(seat, around))
        child = self._host.spawn(command)
        await wait_ready(child, lambda: grpc_answers(listener.endpoint), within_s=READY_WITHIN_S)
        await wait_ready(child, lambda: grpc_serving(listener.endpoint), within_s=READY_WITHIN_S)
        return listener.endpoint


@asynccontextmanager
async def open_world(folder: Path) -> AsyncIterator[World]:
    """Start an empty etcd of one member, and the proxy; everything ends with the context."""
    ports = PortAllocator()
    async with AsyncExitStack() as stack:
        host = await stack.enter_async_context(ProcessHost())
        stack.callback(ports.close)
        stack.callback(host.kill_all)  # nothing of them is needed: an orderly stop only takes time
        etcd = await start_etcd(host, ports, folder / "etcd")
        proxy = await stack.enter_async_context(TcpProxy(etcd.endpoints[0]))
        yield World(host, ports, folder, etcd.endpoints, proxy)
