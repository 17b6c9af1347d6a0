"""The admission service as a process of its own, over a real etcd and a real Valkey."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from trunkline.admission.v1 import admission_service_pb2 as admission_pb
from trunkline.admission.v1 import admission_service_pb2_grpc as admission_grpc
from trunkline_lease import Charge, LeaseOptions, Spent, TokenSource, open_lease_holder
from trunkline_local.child import Child, Command
from trunkline_local.errors import BinaryMissingError
from trunkline_local.etcd import start_etcd
from trunkline_local.host import ProcessHost
from trunkline_local.identity import AUDIENCE, ISSUER, DevIdentity
from trunkline_local.ports import HOST, PortAllocator
from trunkline_local.readiness import grpc_serving, wait_ready
from trunkline_map.entries import EpochEntry
from trunkline_map.etcd import open_etcd
from trunkline_map.records import encode
from trunkline_map.store import Transaction
from trunkline_map.testing import tenant
from trunkline_mesh.deadline import Deadline
from trunkline_mesh.errors import PermitUnknown
from trunkline_mesh.status import from_rpc_error


@pytest.fixture
async def seeded_etcd(process_host: ProcessHost, port_allocator: PortAllocator, tmp_path: Path) -> str:
    """Start an etcd whose map holds one tenant."""
    try:
        etcd = await start_etcd(process_host, port_allocator, tmp_path / "etcd")
    except BinaryMissingError as exc:
        pytest.skip(str(exc))
    entries = (EpochEntry(b"\x01process"), tenant("acme", "eu", tier="pro"))
    puts = {entry.key.encode(): encode(entry) for entry in entries}
    async with open_etcd(etcd.endpoints) as store:
        await store.commit(Transaction(puts=puts), timeout_s=10)
    return etcd.endpoints[0]


@pytest.fixture
async def process(
    seeded_etcd: str,
    valkey_url: str,
    identity: DevIdentity,
    process_host: ProcessHost,
    port_allocator: PortAllocator,
    tmp_path: Path,
) -> AsyncIterator[tuple[Child, str]]:
    """Start `python -m trunkline_admission` and wait until it serves."""
    address = f"{HOST}:{port_allocator.take()}"
    settings = {
        "LISTEN": address,
        "ETCD_ENDPOINTS": seeded_etcd,
        "REDIS_URL": valkey_url,
        "REDIS_TIMEOUT_S": "1",
        "KEY_PREFIX": f"test:process:{address.rpartition(':')[2]}",
        "JWKS": str(identity.jwks_path),
        "ISSUER": ISSUER,
        "AUDIENCE": AUDIENCE,
        "DRAIN_SETTLE_S": "0",
        "DRAIN_GRACE_S": "0.5",
    }
    env = {f"TRUNKLINE_ADMISSION_{name}": value for name, value in settings.items()}
    argv = [sys.executable, "-m", "trunkline_admission"]
    child = process_host.spawn(Command("admission", argv, tmp_path / "admission.log", env=env))
    await wait_ready(child, lambda: grpc_serving(address), within_s=30)
    yield child, address
    child.resume()
    await child.stop()


async def test_it_serves_the_maps_tenants_and_ends_with_its_streams(
    process: tuple[Child, str], identity: DevIdentity
) -> None:
    """Admit and Lease work; SIGTERM ends it with code 0 although a router's stream is open; the router goes on."""
    child, address = process

    def credential() -> tuple[tuple[str, str]]:
        return (("authorization", f"Bearer {identity.mint('router', roles=['service'])}"),)

    options = LeaseOptions(refill_timeout_s=10.0)
    async with (
        grpc.aio.insecure_channel(address) as channel,
        open_lease_holder(channel, credential=credential, options=options) as holder,
    ):
        stub = admission_grpc.AdmissionServiceStub(channel)
        metadata = (("authorization", f"Bearer {identity.mint('caller', tenant='acme')}"),)
        response = await stub.Admit(admission_pb.AdmitRequest(cost_tokens=5), metadata=metadata, timeout=10)
        spent = await holder.spend("acme", Charge(1, 5), Deadline.after(30))
        held = holder.held("acme").tokens

        child.terminate()

        assert response.permit.source == admission_pb.QUOTA_SOURCE_AUTHORITY
        assert spent == Spent(1, TokenSource.AUTHORITY)
        assert await child.wait() == 0
        assert held > 0
        assert (await holder.spend("acme", Charge(1, held), Deadline.after(30))).rank == 1
        assert (await holder.spend("acme", Charge(1, 1), Deadline.after(30))).source is TokenSource.LOCAL


async def test_a_replica_that_is_killed_takes_its_permits_with_it_and_no_more(
    process: tuple[Child, str], identity: DevIdentity, process_host: ProcessHost
) -> None:
    """kill -9 with open permits: what they had reserved stays charged in the store, and the next replica goes on."""
    child, address = process
    metadata = (("authorization", f"Bearer {identity.mint('caller', tenant='acme')}"),)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admission_grpc.AdmissionServiceStub(channel)
        request = admission_pb.AdmitRequest(cost_tokens=1)
        permits: list[admission_pb.Permit] = []
        async with asyncio.timeout(60):
            while len(permits) < 300:
                try:
                    permits.append((await stub.Admit(request, metadata=metadata, timeout=10)).permit)
                except grpc.aio.AioRpcError as exc:
                    if exc.code() is not grpc.StatusCode.UNAVAILABLE:  # OVERLOADED: this machine is busy for a moment
                        raise
    child.kill()
    await child.wait()

    again = process_host.spawn(child.command)
    await wait_ready(again, lambda: grpc_serving(address), within_s=30)
    async with grpc.aio.insecure_channel(address) as channel:
        stub = admission_grpc.AdmissionServiceStub(channel)
        settlement = admission_pb.SettleRequest(permit_id=permits[0].permit_id)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Settle(settlement, metadata=metadata, timeout=10)
        granted = 0
        with suppress(grpc.aio.AioRpcError):
            while granted < 300:
                await stub.Admit(request, metadata=metadata, timeout=10)
                granted += 1
    await again.stop()

    assert isinstance(from_rpc_error(refused.value), PermitUnknown)
    assert 1 <= granted <= 250  # pro: 400 at once, and 200 a minute
