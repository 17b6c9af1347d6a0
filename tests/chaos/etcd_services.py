"""The control role and one router as processes over any etcd: what a drill needs of a stack, without its models."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trunkline_local.addresses import Listener
from trunkline_local.child import Command
from trunkline_local.host import ProcessHost
from trunkline_local.identity import ISSUER, DevIdentity
from trunkline_local.plan import SIGNING_KEY_FILE
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import grpc_answers, wait_ready
from trunkline_local.service_command import services_argv
from trunkline_local.service_env import Seat, Surroundings, service_env
from trunkline_local.spec import CONTROL, Service

REGION: Final = "us-east"
JURISDICTION: Final = "us"
READY_WITHIN_S: Final = 60.0


@dataclass(frozen=True)
class Services:
    """A control role and a router that run."""

    identity: DevIdentity
    control: str
    router: str

    def operator(self) -> str:
        """Mint an operator's credential."""
        return self.identity.mint("operator", roles=("operator", "admin"))

    def member(self, tenant_id: str) -> str:
        """Mint a tenant's credential."""
        return self.identity.mint("somebody", tenant=tenant_id)


@asynccontextmanager
async def running_services(folder: Path, etcd: Sequence[str], router_etcd: Sequence[str]) -> AsyncIterator[Services]:
    """Run a control role over `etcd` and a router over `router_etcd` (another way to the same one).

    Both answer when it yields; they are ready once the map is there.
    """
    ports = PortAllocator()
    identity = DevIdentity.create(folder / "identity")
    control, router = Listener.take(ports), Listener.take(ports)
    async with ProcessHost() as host:
        try:
            for name, listener, endpoints in ((CONTROL, control, etcd), (REGION, router, router_etcd)):
                await _start(host, folder, identity, name, listener, endpoints)
            yield Services(identity, control.endpoint, router.endpoint)
        finally:
            host.kill_all()  # the drill is over: an orderly stop only takes time
            ports.close()


async def _start(
    host: ProcessHost, folder: Path, identity: DevIdentity, name: str, listener: Listener, etcd: Sequence[str]
) -> None:
    around = Surroundings(
        issuer=ISSUER,
        jwks_path=identity.jwks_path,
        etcd_endpoints=tuple(etcd),
        triton_endpoint="",
        blob_dir=folder / "blobs",
        feedback_dir=folder / "feedback",
        control_endpoint=f"{HOST}:1",  # for learners, of which there are none
        signing_key_path=identity.folder / SIGNING_KEY_FILE,
        signing_key_id=identity.key_id,
        log_hash_key=secrets.token_hex(16),
        reflection=False,
    )
    seat = Seat(
        service=Service.ROUTING,
        region_id=name,
        listener=listener,
        token_path=identity.write_token(name, identity.mint(f"trunkline-routing@{name}", roles=("service",))),
        data_dir=folder / name,
        admission_endpoint=f"{HOST}:1",  # nobody: explaining a decision costs nothing, so nobody is asked
        control=name == CONTROL,
    )
    argv = services_argv([Service.ROUTING])
    child = host.spawn(Command(name, argv, folder / f"{name}.log", env=service_env(seat, around), cwd=folder))
    await wait_ready(child, lambda: grpc_answers(listener.endpoint), within_s=READY_WITHIN_S)
